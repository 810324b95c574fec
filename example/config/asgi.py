"""`uvicorn config.asgi:application --app-dir example --ws clarion.realtime.gateway:Gateway`"""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
site = ASGIStaticFilesHandler(get_asgi_application())  # behind nginx, nginx answers /static/ first

from clarion.asgi import mount  # noqa: E402 - it needs Django set up

application = mount(site)
