"""Web push: what leaves is what one browser can read, and each answer has its consequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.utils import timezone, translation

from clarion import Content, Level
from clarion.channels.base import Address, Entry, Envelope, get_channel
from clarion.channels.encryption import PLAINTEXT_LIMIT, Vapid, decode
from clarion.channels.webpush import WebPushChannel
from clarion.exceptions import EndpointGone, InvalidAddress, PermanentFailure, TransientFailure
from tests.channels.pushservice import Browser, Message, PushService, encode
from tests.outward import site

PRIVATE_KEY = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
PUBLIC_KEY = Vapid(PRIVATE_KEY, "").public_key
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def service() -> Iterator[PushService]:
    with PushService() as running:
        yield running
        assert running.faults == []


@pytest.fixture
def browser(service: PushService) -> Browser:
    return service.subscribe(PUBLIC_KEY)


def channel(**options: Any) -> WebPushChannel:
    """The channel, allowed to send to this machine."""
    given = {"services": ["127.0.0.1"], "allow_private": True, **options}
    return WebPushChannel(
        alias="webpush", vapid_private_key=PRIVATE_KEY, vapid_subject="mailto:ops@school.example",
        **given,
    )  # fmt: skip


def entry(title: str = "Grade A", **fields: Any) -> Entry:
    content = {name: fields.pop(name) for name in ("body", "url") if name in fields}
    given: dict[str, Any] = {
        "event": 7, "type": "grade", "category": "", "level": Level.INFO, "created_at": NOW,
        "content": Content(title=title, **content),
    }  # fmt: skip
    return Entry(**given | fields)


def envelope(browser: Browser, *entries: Entry, **fields: Any) -> Envelope:
    given: dict[str, Any] = {
        "id": "12-3", "channel": "webpush", "entries": entries or [entry()],
        "address": Address(value=browser.endpoint, data=browser.keys),
    }  # fmt: skip
    return Envelope(**given | fields)


@pytest.fixture
def pushed(browser: Browser) -> Callable[..., Message]:
    """Send entries, and return what arrived: `pushed(entry("Hi"), private=True)`."""

    def push(*entries: Entry, kind: str = "single", **options: Any) -> Message:
        channel(**options).send(envelope(browser, *entries, kind=kind))
        return browser.messages[-1]

    return push


# --- how it is set up


def test_the_command_prints_settings_that_work() -> None:
    printed = StringIO()
    call_command("clarion_vapid", stdout=printed)
    namespace: dict[str, Any] = {}

    exec(printed.getvalue(), namespace)

    with site(CHANNELS=namespace["CLARION"]["CHANNELS"]):
        made = get_channel("webpush")
    assert isinstance(made, WebPushChannel)
    assert made.vapid.public_key in printed.getvalue()
    assert len(decode(made.vapid.public_key)) == 65


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("vapid_private_key", "c2hvcnQ"),
        ("vapid_private_key", encode(b"\0" * 32)),
        ("vapid_private_key", "not base64!"),
        ("vapid_subject", "ops@school.example"),
        ("ttl", -1),
    ],
)
def test_options_that_can_not_work_are_refused_at_start_up(option: str, value: Any) -> None:
    options = {"vapid_private_key": PRIVATE_KEY, "vapid_subject": "mailto:a@b.example"}
    complaint = rf"CHANNELS'\]\['webpush'\]\['{option}'\]"

    with (
        site(CHANNELS={"webpush": options | {option: value}}),
        pytest.raises(ImproperlyConfigured, match=complaint),
    ):
        get_channel("webpush")


def test_the_private_key_is_never_shown() -> None:
    assert PRIVATE_KEY not in repr(channel())


# --- where it goes


@pytest.mark.parametrize(
    "address",
    [
        "http://fcm.googleapis.com/fcm/send/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evil.example/fcm.googleapis.com",
        "https://fcm.googleapis.com@evil.example/x",
        "https://push.apple.com/x",
        "https://evilpush.apple.com/x",
        "https://127.0.0.1/x",
        "https://[::1",
        "javascript:alert(1)",
        "",
    ],
)
def test_an_endpoint_must_be_one_of_a_push_service(address: str) -> None:
    plain = WebPushChannel(
        alias="webpush", vapid_private_key=PRIVATE_KEY, vapid_subject="https://school.example"
    )

    with pytest.raises(InvalidAddress):
        plain.check_address(address)


def test_a_host_that_lies_in_the_own_network_is_refused() -> None:
    with pytest.raises(InvalidAddress, match="private network"):
        channel(services=["localhost"], allow_private=False).check_address("https://localhost/x")


def test_an_endpoint_stored_before_its_service_was_struck_off_gets_nothing(
    browser: Browser,
) -> None:
    with pytest.raises(PermanentFailure, match="not one of the push services"):
        channel(services=["push.example"]).send(envelope(browser))

    assert browser.messages == []


# --- what it says


def test_a_message_is_declarative_and_carries_what_the_worker_needs(
    pushed: Callable[..., Message],
) -> None:
    one = entry("Grade A", body="Well done", url="https://school.example/grades/", notification=9)

    message = pushed(one, icon="/static/logo.png")

    assert message.json == {
        "web_push": 8030,
        "notification": {
            "title": "Grade A",
            "body": "Well done",
            "navigate": "https://school.example/grades/",
            "lang": "en",
            "dir": "auto",
            "tag": "clarion-12-3",
            "renotify": False,
            "silent": False,
            "timestamp": int(NOW.timestamp() * 1000),
            "icon": "/static/logo.png",
            "data": {"url": "https://school.example/grades/", "event": 7, "notification": 9},
        },
    }


def test_what_leads_nowhere_leads_to_the_inbox(pushed: Callable[..., Message]) -> None:
    with site():
        message = pushed(entry("Grade A"))

    assert message.notification["navigate"] == "https://school.example/notifications/"


def test_several_go_as_one_that_counts_them_and_names_the_newest(
    pushed: Callable[..., Message],
) -> None:
    message = pushed(*[entry(f"Grade {letter}") for letter in "ABCD"], kind="digest")

    assert message.notification["title"] == "4 new notifications"
    assert message.notification["body"] == "Grade D\nGrade C\nGrade B"
    assert message.notification["data"] == {"url": "/notifications/"}
    assert message.notification["silent"]


def test_a_private_message_says_nothing_of_its_content(pushed: Callable[..., Message]) -> None:
    secret = entry("Your result is positive", body="Call us", collapse_key="result")

    one = pushed(secret, private=True)
    many = pushed(secret, secret, private=True)

    assert (one.notification["title"], one.notification["body"]) == ("New notification", "")
    assert (many.notification["title"], many.notification["body"]) == ("2 new notifications", "")
    said = one.plaintext + many.plaintext
    assert not any(word in said for word in (b"positive", b"Call", b"resul"))


@pytest.mark.parametrize("letter", ["x", "语", "🎓", '"', "\\", "\n", "\0"])
def test_a_long_text_is_cut_to_what_fits(letter: str, pushed: Callable[..., Message]) -> None:
    message = pushed(entry(letter * 200, body=letter * 4000, url="https://school.example/a/"))

    assert len(message.plaintext) <= PLAINTEXT_LIMIT
    assert message.notification["body"].endswith("…")
    assert message.notification["navigate"] == "https://school.example/a/"


def test_an_address_that_leaves_no_room_gives_way_to_the_inbox(
    pushed: Callable[..., Message],
) -> None:
    message = pushed(entry("Grade A", url="https://school.example/" + "x" * 4000, notification=9))

    assert message.notification["title"] == "New notification"
    assert message.notification["data"] == {
        "url": "/notifications/", "event": 7, "notification": 9,
    }  # fmt: skip


def test_it_says_in_which_language_it_is(browser: Browser) -> None:
    [(_, result)] = channel().send_all([envelope(browser, language="de")])

    assert not isinstance(result, Exception)
    assert browser.messages[0].notification["lang"] == "de"
    assert translation.get_language() == "en"


# --- how it is sent


@pytest.mark.parametrize(
    ("level", "kind", "urgency"),
    [
        ("info", "single", "normal"),
        ("success", "batch", "normal"),
        ("warning", "single", "normal"),
        ("error", "single", "high"),
        ("critical", "digest", "high"),
        ("info", "digest", "low"),
    ],
)
def test_the_level_says_how_urgent_it_is(
    level: str, kind: str, urgency: str, pushed: Callable[..., Message]
) -> None:
    message = pushed(entry(level=Level(level)), kind=kind)

    assert message.headers["Urgency"] == urgency


def test_the_push_service_keeps_it_no_longer_than_it_holds(pushed: Callable[..., Message]) -> None:
    soon, later = NOW + timedelta(minutes=10), NOW + timedelta(hours=1)
    with time_machine.travel(NOW, tick=False):
        messages = [
            pushed(entry()),
            pushed(entry(), ttl=60),
            pushed(entry(expires_at=soon)),
            pushed(entry(expires_at=soon), entry(expires_at=later)),
            pushed(entry(expires_at=soon), entry()),
            pushed(entry(expires_at=NOW - timedelta(seconds=5))),
        ]

    lives = [int(message.headers["TTL"]) for message in messages]
    assert lives == [2_419_200, 60, 600, 3600, 2_419_200, 0]


def test_collapsed_repeats_replace_each_other_and_nothing_else(
    pushed: Callable[..., Message],
) -> None:
    first = pushed(entry(collapse_key="page 12"))
    again = pushed(entry("Twice", collapse_key="page 12"))
    of_other_type = pushed(entry(type="b", collapse_key="page 12"))
    others = [pushed(entry()), pushed(entry(collapse_key="13")), of_other_type]

    topic = first.headers["Topic"]
    assert len(topic) == 32
    assert again.headers["Topic"] == topic
    assert first.notification["tag"] == again.notification["tag"] == topic
    assert topic not in [one.headers.get("Topic") for one in others]
    assert others[0].headers.get("Topic") is None


# --- what is answered


def test_a_receipt_names_the_message(browser: Browser) -> None:
    receipt = channel().send(envelope(browser))

    assert receipt.reference.startswith("http://127.0.0.1:")
    assert "/message/" in receipt.reference


@pytest.mark.parametrize("status", [404, 410])
def test_a_subscription_that_ended_is_gone(
    status: int, service: PushService, browser: Browser
) -> None:
    service.answer_with(status)

    with pytest.raises(EndpointGone, match=str(status)):
        channel().send(envelope(browser))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_what_may_work_later_is_tried_later(
    status: int, service: PushService, browser: Browser
) -> None:
    service.answer_with(status)

    with pytest.raises(TransientFailure, match=str(status)) as failure:
        channel().send(envelope(browser))

    assert failure.value.retry_after is None


def test_a_push_service_may_say_how_much_later(service: PushService, browser: Browser) -> None:
    service.answer_with(429, Retry_After="17")
    moment = timezone.now() + timedelta(minutes=5)
    service.answer_with(503, Retry_After=format_datetime(moment, usegmt=True))

    asked = []
    for _ in range(2):
        with pytest.raises(TransientFailure) as failure:
            channel().send(envelope(browser))
        asked.append(failure.value.retry_after or 0)

    assert asked[0] == 17
    assert 200 < asked[1] <= 300


@pytest.mark.parametrize(
    ("status", "why"), [(400, "request"), (401, "token"), (403, "another VAPID key"), (301, "301")]
)
def test_a_refusal_is_final_and_says_why(
    status: int, why: str, service: PushService, browser: Browser
) -> None:
    service.answer_with(status)

    with pytest.raises(PermanentFailure, match=why) as failure:
        channel().send(envelope(browser))

    assert not isinstance(failure.value, EndpointGone)
    assert browser.endpoint.rpartition("/")[2] not in str(failure.value)


def test_what_is_too_large_is_sent_again_without_its_text(
    service: PushService, browser: Browser
) -> None:
    service.answer_with(413)

    channel().send(envelope(browser, entry("Grade A", body="Well done", notification=9)))

    first, second = browser.messages
    assert first.notification["title"] == "Grade A"
    assert second.notification["title"] == "New notification"
    assert second.notification["data"]["notification"] == 9


def test_what_is_still_too_large_is_given_up(service: PushService, browser: Browser) -> None:
    service.answer_with(413)
    service.answer_with(413)

    with pytest.raises(PermanentFailure, match="413"):
        channel().send(envelope(browser))

    assert len(browser.messages) == 2


def test_no_answer_is_tried_later(browser: Browser) -> None:
    dead = Browser("http://127.0.0.1:9/push/x", PUBLIC_KEY)

    with pytest.raises(TransientFailure):
        channel(timeout=2).send(envelope(dead))


def test_a_subscription_with_broken_keys_is_not_tried_again(browser: Browser) -> None:
    broken = Address(value=browser.endpoint, data={})

    with pytest.raises(PermanentFailure, match="p256dh"):
        channel().send(envelope(browser, address=broken))
