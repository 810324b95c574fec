import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.hard.site.settings")

from django.core.asgi import get_asgi_application

site = get_asgi_application()

from clarion.asgi import mount  # noqa: E402 - after Django is set up

application = mount(site)
