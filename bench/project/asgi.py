"""The site with Clarion mounted, as its documentation says."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.project.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from clarion.asgi import mount  # noqa: E402

application = mount(http)
