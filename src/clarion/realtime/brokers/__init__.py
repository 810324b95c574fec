"""How nudges travel between processes: at most once, for the database is the truth."""

from __future__ import annotations

import functools
from zlib import crc32

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from clarion.conf import settings
from clarion.realtime.brokers.base import Broker as Broker
from clarion.realtime.brokers.base import Line as Line
from clarion.realtime.frames import Nudge, pack

EVERYONE = "all"  # the shard that every process holds: announcements, batches, control


def publish(nudge: Nudge) -> None:
    """Send a nudge to every process. From any thread; never blocks and never raises."""
    get_broker().publish(shard(nudge.topic), pack(nudge))


def shard(topic: str) -> str:
    """The shard that carries `topic`: recipients are spread over SHARDS, all else goes to everyone.

    A process holds at most SHARDS subscriptions, however many people are connected to it.
    """
    kind, _, pk = topic.partition(".")
    return f"s{crc32(pk.encode()) % settings.SHARDS}" if kind == "inbox" else EVERYONE


def get_broker() -> Broker:
    """The broker that CLARION['BROKER'] names: one for each value while the process lives.

    Raises:
        ImproperlyConfigured: it names nothing that is known, or its package isn't installed.
    """
    return _broker(settings.BROKER)


@functools.cache
def _broker(wanted: str | None) -> Broker:
    if wanted is None:
        return _layer("default") if _has_channel_layer() else _memory()
    if wanted == "memory":
        return _memory()
    if wanted == "layer" or wanted.startswith("layer:"):
        return _layer(wanted.partition(":")[2] or "default")
    if wanted.startswith(("redis://", "rediss://", "unix://")):
        return _redis(wanted)
    return _custom(wanted)


def _has_channel_layer() -> bool:
    return "default" in (getattr(django_settings, "CHANNEL_LAYERS", None) or {})


def _memory() -> Broker:
    from clarion.realtime.brokers.memory import MemoryBroker

    return MemoryBroker()


def _layer(alias: str) -> Broker:
    """Channels' in-memory layer loses what a thread sends, so our own takes its place."""
    try:
        from channels.layers import InMemoryChannelLayer, get_channel_layer
    except ImportError as error:
        raise ImproperlyConfigured(
            "CLARION['BROKER'] uses a channel layer, but Channels isn't installed: "
            "pip install 'django-clarion[channels]'."
        ) from error
    if alias not in (getattr(django_settings, "CHANNEL_LAYERS", None) or {}):
        raise ImproperlyConfigured(f"CLARION['BROKER']: CHANNEL_LAYERS has no {alias!r}.")
    if isinstance(get_channel_layer(alias), InMemoryChannelLayer):
        return _memory()
    from clarion.realtime.brokers.layer import LayerBroker

    return LayerBroker(alias)


def _redis(url: str) -> Broker:
    try:
        from clarion.realtime.brokers.redis import RedisBroker
    except ImportError as error:
        raise ImproperlyConfigured(
            "CLARION['BROKER'] is a Redis URL, but redis isn't installed: "
            "pip install 'django-clarion[redis]'."
        ) from error
    return RedisBroker(url)


def _custom(path: str) -> Broker:
    try:
        made = import_string(path)()
    except ImportError as error:
        raise ImproperlyConfigured(
            f"CLARION['BROKER']: {path!r} is neither 'memory', 'layer', 'layer:<alias>' nor a "
            f"redis:// URL, and can't be imported ({error})."
        ) from error
    if not isinstance(made, Broker):
        raise ImproperlyConfigured(f"CLARION['BROKER']: {path} is not a Broker.")
    return made


def _on_setting_changed(*, setting: str, **_: object) -> None:
    if setting == "CHANNEL_LAYERS":
        _broker.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="clarion.brokers")
