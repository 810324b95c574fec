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

Found = list[CheckMessage]


@register("clarion")
def check_settings(**_: Any) -> Found:
    try:
        load(getattr(django_settings, "CLARION", {}))
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="See docs/reference/settings.md.", id="clarion.E001")]
    return [*_check_runner(), *_check_broker()]


def _check_runner() -> Found:
    from clarion import runner

    try:
        runner._runner()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="Use 'embedded' or 'inline'.", id="clarion.E002")]
    return []


def _check_broker() -> Found:
    from clarion.realtime.brokers import get_broker

    try:
        get_broker()
    except (ImproperlyConfigured, ImportError) as error:
        hint = "Use 'memory', 'layer', a redis:// URL, or leave BROKER out."
        return [Error(str(error), hint=hint, id="clarion.E003")]
    return []


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
                hint="Fine for one process; for several run workers of their own.",
                id="clarion.W004",
            )
        )
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
