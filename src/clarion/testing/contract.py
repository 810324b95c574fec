"""What every channel promises, as tests: mix them into a test case of your channel.

class PagerContract(ChannelContract, SimpleTestCase):
    options = {"BACKEND": "school.pager.Pager", "key": "k-123"}
    secrets = ["k-123"]

    def address(self) -> Address:
        return Address(value="+15551234")

    def failing(self, how: str) -> AbstractContextManager[None]:
        return self.server.answering({"transient": 503, "permanent": 400, "gone": 410}[how])
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, ClassVar
from unittest import SkipTest

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from clarion import samples
from clarion.channels.base import (
    Address,
    Channel,
    Envelope,
    Preview,
    Receipt,
    Result,
    get_channel,
    reason_of,
)
from clarion.exceptions import EndpointGone, PermanentFailure, TransientFailure
from clarion.types import Message

ALIAS = "contract"
_HARD = Message(
    title="Zoë Ñandú 東京 \N{PARTY POPPER} שלום\r\nBcc: everybody@example.org",
    body='Ääh <script>alert("&amp;")</script>\n.\n\N{ZERO WIDTH JOINER}\N{FAMILY}',
    url="/straße/?a=1&b=%20",
)


class ChannelContract:
    """Tests for a channel. Those whose hook you leave out are skipped, and say so.

    `options` is what stands in CLARION["CHANNELS"] for it, with its BACKEND; `secrets` are those of
    its options and of the address, none of which may be seen in a text.
    """

    options: ClassVar[Mapping[str, Any]] = {}
    secrets: ClassVar[Sequence[str]] = ()

    def channel(self) -> Channel:
        """The channel; by default the one that `options` make."""
        return get_channel(ALIAS)

    def address(self) -> Address:
        """Where it can send to."""
        return Address(value="example")

    def recipient(self) -> Any:
        """Whom it sends to: a user; None, as for the endpoint of a team, unless overridden."""
        return None

    def failing(self, how: str) -> AbstractContextManager[Any]:
        """In here, the other side fails: "transient", "permanent" or "gone"."""
        raise SkipTest(f"failing() is not overridden, so {how!r} failures are not tested")

    # --- sending

    def test_what_is_sent_is_acknowledged_by_a_receipt(self) -> None:
        with self._site():
            self._must_send(self._envelope())

    def test_each_of_many_has_its_own_result(self) -> None:
        wanted = {f"{number}": self._envelope(id=f"{number}") for number in range(1, 4)}

        with self._site():
            results = list(self.channel().send_all(iter(wanted.values())))

        got = sorted(envelope.id for envelope, _ in results)
        _check(got == sorted(wanted), f"Sent {sorted(wanted)}, but yielded results for {got}.")
        for _, result in results:
            _must_be_a_receipt(result)

    def test_the_same_envelope_may_be_sent_twice(self) -> None:
        """What was sent by a worker that died before it could write that down is sent again."""
        with self._site():
            self._must_send(self._envelope(attempt=1))
            self._must_send(self._envelope(attempt=2))

    def test_one_can_be_sent(self) -> None:
        self._must_send_digest(1)

    def test_three_can_go_as_one(self) -> None:
        self._must_send_digest(3)

    def test_sixty_can_go_as_one_of_which_fifty_are_told(self) -> None:
        self._must_send_digest(60)

    def test_any_text_can_be_sent(self) -> None:
        """Every script, markup that isn't meant as such, and line breaks where none belong."""
        with self._site():
            self._must_send(self._envelope(_HARD))
            self._must_send(self._envelope(_HARD, count=3))

    def test_a_title_is_enough(self) -> None:
        with self._site():
            self._must_send(self._envelope(Message(title="Nothing more to say")))

    def test_a_preview_sends_nothing_and_says_something(self) -> None:
        for envelope in (self._envelope(), self._envelope(_HARD, count=3)):
            with self._site():
                preview = self.channel().preview(envelope)

            _check(isinstance(preview, Preview), f"preview() returned {type(preview).__name__}.")
            _check(bool(preview.body.strip()), "The body of the preview is empty.")

    # --- failing

    def test_a_transient_failure_is_told_as_such(self) -> None:
        error = self._failure("transient")

        _must_be(error, TransientFailure, "so that it is tried again, with a reason")

    def test_a_permanent_failure_is_told_as_such(self) -> None:
        error = self._failure("permanent")

        _must_be(error, PermanentFailure, "so that it isn't tried again")
        _check(not isinstance(error, EndpointGone), "EndpointGone would retire a good address.")

    def test_an_address_that_is_gone_is_told_as_such(self) -> None:
        _must_be(self._failure("gone"), EndpointGone, "so that the address is retired")

    def test_it_sends_again_after_a_failure(self) -> None:
        self._failure("transient")

        with self._site():
            self._must_send(self._envelope(attempt=2))

    # --- secrets and options

    def test_secrets_are_not_seen(self) -> None:
        with self._site():
            texts = [repr(self.channel()), repr(self._envelope()), str(self._sent())]

        self._must_hide(texts)

    def test_reasons_hold_no_secrets(self) -> None:
        for how in ("transient", "permanent", "gone"):
            try:
                error = self._failure(how)
            except SkipTest:
                if how == "transient":
                    raise
                continue
            self._must_hide([reason_of(error), str(error), *traceback.format_exception_only(error)])

    def test_an_unknown_option_is_refused_at_start_up(self) -> None:
        self._must_refuse(no_such_option=1)

    def test_an_option_of_the_wrong_kind_is_refused_at_start_up(self) -> None:
        self._must_refuse(timeout="soon")

    # --- how

    @contextmanager
    def _site(self, **more: Any) -> Iterator[None]:
        """A site whose only channel it is."""
        given = getattr(django_settings, "CLARION", {})
        channels = {ALIAS: {**self.options, **more}}
        with override_settings(CLARION={**given, "CHANNELS": channels}):
            yield

    def _envelope(self, what: samples.What = Message, *, count: int = 1, **facts: Any) -> Envelope:
        made = samples.envelope(what, channel=ALIAS, address=self.address(), count=count)
        return replace(made, recipient=self.recipient(), **facts)

    def _send(self, envelope: Envelope) -> Result:
        """As the outbox does it: the exception is the result."""
        [(_, result)] = self.channel().send_all([envelope])
        return result

    def _sent(self) -> Result:
        return self._send(self._envelope())

    def _must_send(self, envelope: Envelope) -> None:
        _must_be_a_receipt(self._send(envelope))

    def _must_send_digest(self, count: int) -> None:
        envelope = self._envelope(count=count)
        with self._site():
            self._must_send(envelope)

    def _failure(self, how: str) -> Exception:
        with self.failing(how), self._site():
            result = self._sent()
        if isinstance(result, Exception):
            return result
        raise AssertionError(f"The other side fails ({how}), but send() returned {result!r}.")

    def _must_hide(self, texts: Sequence[str]) -> None:
        for secret in self.secrets:
            for text in texts:
                _check(secret not in text, f"A secret is seen in: {text.replace(secret, '***')}")

    def _must_refuse(self, **option: Any) -> None:
        if not self.options:
            raise SkipTest("options is not set, so the channel can't be configured")
        with self._site(**option):
            try:
                get_channel(ALIAS)
            except ImproperlyConfigured:
                return
        raise AssertionError(f"The option {option} was taken: ImproperlyConfigured must be raised.")


def _check(promise: bool, text: str) -> None:
    if not promise:
        raise AssertionError(text)


def _must_be(error: Exception, kind: type[Exception], why: str) -> None:
    _check(isinstance(error, kind), f"{error!r} must be a {kind.__name__}, {why}.")


def _must_be_a_receipt(result: Result) -> None:
    if isinstance(result, Receipt):
        return
    cause = result if isinstance(result, Exception) else None
    raise AssertionError(f"send() must return a Receipt; it came to {result!r}.") from cause
