from django.apps import AppConfig

from tests.hard.site import crash


class SiteConfig(AppConfig):
    name = "tests.hard.site"
    label = "hard"

    def ready(self) -> None:
        crash.arm()
