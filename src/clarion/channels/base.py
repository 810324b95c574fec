"""What a channel is: it is handed an envelope and sends it, or says why it can't.

    @dataclass(frozen=True, kw_only=True)
    class Pager(Channel):
        pager_key: str                     # an option: CLARION["CHANNELS"]["pager"]["pager_key"]

        def send(self, envelope: Envelope) -> Receipt:
            ...

Channels are frozen dataclasses whose fields are their options, so that an unknown one, or one of
the wrong kind, is refused at start-up. They touch no rows: the outbox claims, decides, settles.
"""

from __future__ import annotations

import difflib
import functools
import types
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils import timezone, translation
from django.utils.module_loading import import_string

from clarion.conf import settings
from clarion.exceptions import ClarionError
from clarion.types import Content, Level

BACKENDS = {
    "email": "clarion.channels.email.EmailChannel",
    "webpush": "clarion.channels.webpush.WebPushChannel",
    "webhook": "clarion.channels.webhook.WebhookChannel",
    "apprise": "clarion.channels.apprise.AppriseChannel",
    "service": "clarion.channels.apprise.ServiceChannel",
    "memory": "clarion.channels.memory.MemoryChannel",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One notification in an envelope. Texts are in the recipient's language, links absolute."""

    event: int
    type: str
    category: str
    level: Level
    content: Content
    created_at: datetime
    actor: str = ""
    target: str = ""
    """What it is about, as "app.model:pk"; replies to one target share a thread."""
    count: int = 1
    collapse_key: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The payload, as JSON values."""
    notification: int | None = None
    """Row in the inbox; None where the person doesn't want it there."""
    expires_at: datetime | None = None
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where it goes: the text, and for stored endpoints the row's pk, secrets and other facts."""

    value: str = field(repr=False)
    endpoint: int | None = None
    label: str = ""
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """One thing to send to one address: a single notification, or several that go as one."""

    id: str
    """The same on every try, and for nothing else: message id, idempotency key."""
    channel: str
    address: Address
    entries: Sequence[Entry]
    recipient: Any = None
    """The user; None for an endpoint of a team."""
    language: str | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    kind: str = "single"
    """"single", "batch", "digest", "quiet" (what waited through quiet hours), "burst"."""
    attempt: int = 1
    total: int = 0
    """How many there were, when only some are in `entries`."""

    @property
    def count(self) -> int:
        return self.total or len(self.entries)


@dataclass(frozen=True)
class Receipt:
    """It was handed over. `reference` is the other side's name for it, `detail` is for people."""

    reference: str = ""
    detail: str = ""


Result = Receipt | Exception


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What an envelope looks like on the other side, for people."""

    body: str
    kind: str = "text"
    """What `body` is: "text" or "json"; "html" where `html` has the same as a page."""
    subject: str = ""
    html: str = ""


@dataclass(frozen=True, kw_only=True)
class Channel(ABC):
    """Base of all channels. These options every channel has."""

    alias: str = ""
    """Set from the key in CLARION['CHANNELS']."""
    failover: str = ""
    """Alias of the channel that takes over when this one can't send."""
    timeout: float = 10
    """Seconds that one send may take."""

    waits: ClassVar[Sequence[timedelta]] = tuple(
        timedelta(seconds=s) for s in (30, 120, 600, 1800, 7200, 21_600, 43_200)
    )
    """Between attempts; when they are used up, the delivery has failed."""
    needs_endpoint: ClassVar[bool] = True
    """Whether people must have registered an Endpoint. Where not, see `address_of`."""
    gathers: ClassVar[bool] = True
    """Whether many at once go as one, for a person's sake. Not so for machines."""
    parallel: ClassVar[int] = 1
    """Sends at the same time."""
    retire_after: ClassVar[timedelta | None] = None
    """An endpoint that failed for so long is retired, and whoever looks after it is told."""
    at_risk: ClassVar[int] = 1
    """Sends that are settled together: what is repeated, at most, when the process is killed."""

    @abstractmethod
    def send(self, envelope: Envelope) -> Receipt:
        """Send it. Called in a worker, outside any transaction, perhaps in a thread.

        Raises:
            TransientFailure: try again later.
            PermanentFailure: never with this envelope.
            EndpointGone: never again to this address.
        """

    def preview(self, envelope: Envelope) -> Preview:
        """What `send` would say, in the active language and time zone; nothing is sent."""
        contents = [entry.content for entry in envelope.entries]
        said = ["\n".join(filter(None, (each.title, each.body, each.url))) for each in contents]
        return Preview(body="\n\n".join(said))

    def address_of(self, recipient: Any) -> str:
        """Where to send to somebody who registered no endpoint; "" for nowhere."""
        return ""

    def check_address(self, address: str) -> str:
        """Return the address as it is to be stored. Raise `InvalidAddress`."""
        return address

    def session(self) -> AbstractContextManager[Any]:
        """Around a run of sends: a place to keep a connection open."""
        return nullcontext()

    def send_all(self, envelopes: Iterable[Envelope]) -> Iterator[tuple[Envelope, Result]]:
        """Send each, and yield it with its receipt or the exception, as soon as it is known."""
        if self.parallel > 1:
            yield from self._send_in_parallel(envelopes)
            return
        with self.session():
            for envelope in envelopes:
                yield envelope, self._attempt(envelope)

    def _send_in_parallel(self, envelopes: Iterable[Envelope]) -> Iterator[tuple[Envelope, Result]]:
        with ThreadPoolExecutor(self.parallel, thread_name_prefix="clarion-send") as pool:
            sent = {pool.submit(self._attempt, envelope): envelope for envelope in envelopes}
            for done in as_completed(sent):
                yield sent[done], done.result()

    def _attempt(self, envelope: Envelope) -> Result:
        language = translation.override(envelope.language) if envelope.language else nullcontext()
        try:
            with language, timezone.override(envelope.zone):
                return self.send(envelope)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this envelope's alone
            return error


ChannelT = TypeVar("ChannelT", bound=Channel)


def get_channel(alias: str) -> Channel:
    """The channel called `alias` in CLARION['CHANNELS'].

    Raises:
        ImproperlyConfigured: no such alias or backend, an unknown or missing option, or one of the
            wrong kind.
    """
    return _channel(alias)


def aliases() -> list[str]:
    """The aliases of all configured channels."""
    return list(settings.CHANNELS)


def check_all() -> list[str]:
    """What is wrong with CLARION['CHANNELS'], one sentence each."""
    found = []
    for alias in aliases():
        try:
            channel = get_channel(alias)
            if channel.failover:
                get_channel(channel.failover)
        except ImproperlyConfigured as error:
            found.append(str(error))
    return found


@functools.cache
def _channel(alias: str) -> Channel:
    configured = settings.CHANNELS
    where = f"CLARION['CHANNELS'][{alias!r}]"
    if alias not in configured:
        known = ", ".join(sorted(configured)) or "none"
        raise ImproperlyConfigured(f"{where} is missing. Configured channels: {known}.")
    if not isinstance(configured[alias], dict):
        raise ImproperlyConfigured(f"{where} must be a dict of options, {{}} for none.")
    options = dict(configured[alias])
    name = options.pop("BACKEND", alias)
    channel = _backend(name, where)
    _check_options(channel, options, where)
    return channel(**options, alias=alias)


def _backend(name: str, where: str) -> type[Channel]:
    path = BACKENDS.get(name, name)
    try:
        found = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"{where}['BACKEND']: {name!r} is neither one of {', '.join(BACKENDS)} nor the dotted "
            f"path of a Channel whose packages are installed ({error})."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Channel)):
        raise ImproperlyConfigured(f"{where}['BACKEND']: {path} is not a Channel.")
    return found


def _check_options(channel: type[Channel], options: dict[str, Any], where: str) -> None:
    known = {entry.name: entry for entry in fields(channel) if entry.name != "alias"}
    for name, value in options.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}."
            raise ImproperlyConfigured(f"{where}: unknown option {name!r}; {hint}")
        _check_kind(value, get_type_hints(channel)[name], f"{where}[{name!r}]")
    for name, entry in known.items():
        if entry.default is MISSING and entry.default_factory is MISSING and name not in options:
            raise ImproperlyConfigured(f"{where}: the option {name!r} is needed.")


def _check_kind(value: object, hint: Any, where: str) -> None:
    options = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = tuple(get_origin(option) or option for option in options)
    if type(value) in kinds or (float in kinds and type(value) is int):
        return
    expected = " or ".join(kind.__name__ for kind in kinds)
    raise ImproperlyConfigured(f"{where} must be {expected}, not {type(value).__name__}.")


def reason_of(error: Exception) -> str:
    """What a failed attempt says to people: the text of our own errors, the class of others.

    Texts of other libraries may hold addresses with passwords in them.
    """
    ours = isinstance(error, ClarionError | ImproperlyConfigured)
    return str(error)[:300] if ours else type(error).__name__


def _on_setting_changed(*, setting: str, **_: object) -> None:
    if setting == "CLARION":
        _channel.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="clarion.channels")
