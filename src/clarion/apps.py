from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class ClarionConfig(AppConfig):
    name = "clarion"
    verbose_name = _("Notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from clarion import checks, receivers, tracking  # noqa: F401 - they register themselves

        tracking.connect()
        autodiscover_modules("notifications")
