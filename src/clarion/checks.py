"""Start-up checks: each has an id, says what is wrong, and what to do about it."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from clarion.conf import load, settings
from clarion.models import Event
from clarion.routes import INBOX
from clarion.types import all_types

Found = list[CheckMessage]


@register("clarion")
def check_settings(**_: Any) -> Found:
    try:
        load(getattr(django_settings, "CLARION", {}))
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="See docs/reference/settings.md.", id="clarion.E001")]
    return [*_check_runner(), *_check_broker(), *_check_channels()]


def _check_runner() -> Found:
    from clarion import runner

    try:
        runner._runner()
    except ImproperlyConfigured as error:
        hint = "Use 'embedded', 'worker', 'celery' or 'django_tasks'; see docs/howto/workers.md."
        return [Error(str(error), hint=hint, id="clarion.E002")]
    return _check_celery() if settings.RUNNER == "celery" else []


def _check_celery() -> Found:
    from celery import current_app

    if current_app.conf.broker_write_url:
        return []
    return [
        Caution(
            "CLARION['RUNNER'] is 'celery', but no Celery app with a broker is loaded: workers "
            "are never told.",
            hint="Import your app in the project's __init__.py, as Celery's guide to Django says, "
            "and set its broker_url.",
            id="clarion.W009",
        )
    ]


def _check_broker() -> Found:
    from clarion.realtime.brokers import get_broker

    try:
        get_broker()
    except (ImproperlyConfigured, ImportError) as error:
        hint = "Use 'memory', 'layer', a redis:// URL, or leave BROKER out."
        return [Error(str(error), hint=hint, id="clarion.E003")]
    return []


def _check_channels() -> Found:
    """What the types send by must be there, and whole."""
    from clarion.channels import base

    hint = "See docs/howto/channels.md for the options of each channel."
    found: Found = [Error(fault, hint=hint, id="clarion.E006") for fault in base.check_all()]
    for alias, names in sorted(_types_by_unknown_channel().items()):
        found.append(
            Caution(
                f"CLARION['CHANNELS'] has no {alias!r}, which is a channel of {', '.join(names)}: "
                "nothing is sent that way.",
                hint=f"Add {alias!r} to CLARION['CHANNELS'], or take it out of their channels.",
                id="clarion.W007",
            )
        )
    if settings.CHANNELS and not settings.SITE_URL:
        found.append(
            Caution(
                "CLARION['SITE_URL'] is empty: links that leave the site lead nowhere.",
                hint="Set it to scheme and host, for instance 'https://school.example'.",
                id="clarion.W008",
            )
        )
    return found


def _types_by_unknown_channel() -> dict[str, list[str]]:
    known = {INBOX, *settings.CHANNELS}
    found: dict[str, list[str]] = {}
    for cls in all_types():
        for alias in {route.channel for route in cls.routes()} - known:
            found.setdefault(alias, []).append(cls.type)
    return found


@register("clarion")
def check_environment(**_: Any) -> Found:
    found: Found = []
    for app in ("django.contrib.auth", "django.contrib.contenttypes"):
        if not apps.is_installed(app):
            hint = f"Add {app!r} to INSTALLED_APPS."
            found.append(Error(f"Clarion needs {app}.", hint=hint, id="clarion.E004"))
    if not django_settings.USE_TZ:
        hint = "Set USE_TZ = True: reminders and digests can't do without time zones."
        found.append(Error("Clarion needs time zone support.", hint=hint, id="clarion.E005"))
    return found


@register("clarion")
def check_channel_layers(**_: Any) -> Found:
    """redis-py 8 gives sockets a time-out of 5 s, and channels_redis waits exactly that long."""
    return [
        Caution(
            f"CHANNEL_LAYERS[{alias!r}] has a Redis host without socket_timeout: with redis-py 8 "
            "idle WebSockets are closed after 5 seconds.",
            hint='Write the host as {"address": "redis://...", "socket_timeout": None}.',
            id="clarion.W001",
        )
        for alias, layer in getattr(django_settings, "CHANNEL_LAYERS", {}).items()
        if _times_out(layer)
    ]


def _times_out(layer: dict[str, Any]) -> bool:
    if "channels_redis.core" not in layer.get("BACKEND", "") or _redis_major() < 8:
        return False
    hosts = layer.get("CONFIG", {}).get("hosts", [("localhost", 6379)])
    hosts = hosts if isinstance(hosts, list | tuple) else [hosts]
    return any(not isinstance(host, dict) or "socket_timeout" not in host for host in hosts)


def _redis_major() -> int:
    try:
        import redis
    except ImportError:
        return 0
    return int(redis.__version__.split(".")[0])


@register("clarion")
def check_sqlite(**_: Any) -> Found:
    """One writer at a time: asked for at the start, and with no reader in its way."""
    database = connections[router.db_for_write(Event)]
    if database.vendor != "sqlite":
        return []
    options = database.settings_dict.get("OPTIONS", {})
    found: Found = []
    if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
        found.append(
            Caution(
                "SQLite transactions start deferred: writers can fail with 'database is locked'.",
                hint="Set DATABASES['default']['OPTIONS']['transaction_mode'] = 'IMMEDIATE'.",
                id="clarion.W002",
            )
        )
    if "wal" not in str(options.get("init_command", "")).lower():
        found.append(
            Caution(
                "SQLite is not told to use its write-ahead log: readers and the writer block.",
                hint="Set DATABASES['default']['OPTIONS']['init_command'] = "
                "'PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL'.",
                id="clarion.W003",
            )
        )
    return found


@register("clarion", deploy=True)
def check_development_parts(**_: Any) -> Found:
    found: Found = []
    if settings.RUNNER in ("embedded", "inline"):
        found.append(
            Caution(
                f"CLARION['RUNNER'] is {settings.RUNNER!r}: background work shares the processes "
                "that answer requests, and stops with them.",
                hint="Fine for one process; for several use 'worker', 'celery' or "
                "'django_tasks', see docs/howto/workers.md.",
                id="clarion.W004",
            )
        )
    if settings.RUNNER in ("celery", "django_tasks"):
        found += _check_tasks_leave_the_process()
    if _broker_stays_in_process():
        found.append(
            Caution(
                "The broker reaches only this process: with several, a screen is told within "
                "RECONCILE_INTERVAL instead of at once.",
                hint="Set CLARION['BROKER'] = 'redis://...' or configure CHANNEL_LAYERS.",
                id="clarion.W005",
            )
        )
    return found


def _check_tasks_leave_the_process() -> Found:
    reason = _why_no_worker_works()
    if not reason:
        return []
    return [
        Caution(
            f"CLARION['RUNNER'] is {settings.RUNNER!r}, but {reason}.",
            hint="Configure a broker or backend whose tasks are run by workers, or use the runner "
            "'worker'.",
            id="clarion.W010",
        )
    ]


def _why_no_worker_works() -> str:
    if settings.RUNNER == "celery":
        from celery import current_app

        if current_app.conf.task_always_eager:
            return "task_always_eager runs its tasks in the process that commits"
        is_in_memory = str(current_app.conf.broker_write_url).startswith("memory:")
        return "its broker is in the memory of one process" if is_in_memory else ""
    from clarion.runners.django_tasks import tasks

    backend = type(tasks.task_backends["default"]).__name__
    never = "never runs them" if backend == "DummyBackend" else "runs them where they are made"
    return f"the task backend {never}" if backend in ("ImmediateBackend", "DummyBackend") else ""


def _broker_stays_in_process() -> bool:
    from clarion.realtime.brokers import get_broker
    from clarion.realtime.brokers.memory import MemoryBroker

    return isinstance(get_broker(), MemoryBroker)


@register("clarion", Tags.security, deploy=True)
def check_origins(**_: Any) -> Found:
    wild = [origin for origin in settings.ALLOWED_ORIGINS if "*" in origin]
    if not wild:
        return []
    return [
        Caution(
            f"CLARION['ALLOWED_ORIGINS'] has wildcards ({', '.join(wild)}): pages of others may "
            "open sockets with your users' cookies.",
            hint="Name every origin in full, for instance https://app.example.com.",
            id="clarion.W006",
        )
    ]
