import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.e2e.settings")

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

site = ASGIStaticFilesHandler(get_asgi_application())

from clarion.asgi import mount  # noqa: E402 - after Django is set up

application = mount(site)
