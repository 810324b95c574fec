"""Run in an environment with the built wheel: does Clarion work with only what is installed here?

    alone.py [name of an absent package ...]

Imports every module, migrates, notifies, reads, marks. Modules that need an absent package must
say so with an ImportError that names it; all others must load.
"""

import importlib
import importlib.util
import pkgutil
import sys
import tempfile

import django
from django.conf import settings

#: Modules that exist for the sake of a package, and may need it when they are imported.
NEED = {
    "clarion.channels.encryption": {"cryptography"},
    "clarion.channels.webpush": {"cryptography"},
    "clarion.runners.celery": {"celery"},
    "clarion.runners.django_tasks": {"django_tasks"},
    "clarion.realtime.brokers.redis": {"redis"},
    "clarion.realtime.brokers.layer": {"channels"},
    "clarion.realtime.gateway.protocol": {"uvicorn", "websockets"},
    "clarion.routing": {"channels"},
}


def main(absent):
    for name in absent:
        if importlib.util.find_spec(name):
            sys.exit(f"{name} is here, but should not be")
    with tempfile.TemporaryDirectory() as folder:
        configure(f"{folder}/site.sqlite3")
        imported = import_everything()
        use_it()
        from django.db import connections

        connections.close_all()
    print(
        f"  {imported} modules imported, migrated, notified, read, marked, page and bell rendered"
    )


def configure(database):
    settings.configure(
        SECRET_KEY="only for this test",
        ALLOWED_HOSTS=["testserver"],
        USE_TZ=True,
        STATIC_URL="/static/",
        ROOT_URLCONF="__main__",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.staticfiles",
            "clarion",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        TEMPLATES=[
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
        ],
        CLARION={"RUNNER": "inline"},
    )
    django.setup()
    from django.urls import include, path

    globals()["urlpatterns"] = [path("notifications/", include("clarion.urls"))]


def import_everything():
    import clarion

    count = 0
    for module in pkgutil.walk_packages(clarion.__path__, "clarion."):
        try:
            importlib.import_module(module.name)
            count += 1
        except ImportError as error:
            needed = NEED.get(module.name, ())
            absent = [name for name in needed if importlib.util.find_spec(name) is None]
            if not any(name in str(error) for name in absent):
                raise
            print(f"  {module.name} asks for its package: {error}")
    return count


def use_it():
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.template import Context, Template
    from django.test import Client, RequestFactory

    from clarion import inbox, notify

    call_command("migrate", verbosity=0)
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    user = get_user_model().objects.create_user("ada", password="x")
    notify("Your export is ready", to=user, url="/exports/7")
    [item] = inbox.page(user).items
    assert item["message"], item
    assert inbox.counts(user).unread == 1
    inbox.mark_read(user, [item["id"]])
    assert inbox.counts(user).unread == 0

    client = Client()
    client.force_login(user)
    assert client.get("/notifications/").status_code == 200
    assert client.get("/notifications/api/inbox/").json()["items"][0]["read"]
    assert client.get("/notifications/api/changes/").status_code == 200
    request = RequestFactory().get("/")
    request.user, request.session = user, client.session
    bell = Template("{% load clarion %}{% clarion_bell %}").render(Context({"request": request}))
    assert "<clarion-bell" in bell, bell


if __name__ == "__main__":
    main(sys.argv[1:])
