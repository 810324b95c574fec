"""Chat and SMS through Apprise: what is entered is checked, and what is secret stays so."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from urllib.parse import unquote

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from clarion import Content, notify, outbox, reach, types
from clarion.channels import apprise
from clarion.channels.base import Address, Entry, Envelope, get_channel
from clarion.exceptions import InvalidAddress
from clarion.models import Attempt, Delivery, Endpoint
from clarion.routes import Route, inbox
from clarion.types import Level
from tests import outward
from tests.channels.receiver import HOST, http_server, raw_server, until_closed

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning"),  # Apprise imports it
]

CHAT = {"BACKEND": "apprise", "schemes": ["json"], "allow_private": True}
SERVICE = "clarion.channels.apprise.ServiceChannel"
SLACK = "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


@dataclass(frozen=True, kw_only=True)
class Chatted(outward.Graded):
    type = "chat.graded"
    level = Level.WARNING
    channels = [inbox(), Route(channel="chat")]
    text: str = ""

    def content(self, event):
        return Content(title=f"Grade {self.grade}", body=self.text, url="/grades/")


@dataclass(frozen=True, kw_only=True)
class Daily(Chatted):
    type = "chat.daily"
    channels = [inbox(), Route(channel="chat", default="digest")]


def site(**channels: object):
    return outward.site(CHANNELS={"chat": CHAT, **channels})


@pytest.fixture(autouse=True)
def known_types():
    for cls in (Chatted, Daily):
        types.register(cls)
    with site():
        yield
    for cls in (Chatted, Daily):
        del types._registry[cls.type]


@pytest.fixture
def receiver():
    with http_server() as receiver:
        yield receiver


@pytest.fixture
def clock():
    with outward.clock() as travel:
        yield travel


def target(receiver, path: str = "geheim") -> str:
    return f"json://{HOST}:{receiver.port}/{path}"


def deliver() -> None:
    while outbox.deliver_due():
        continue


def row() -> tuple[str, str]:
    [found] = Delivery.objects.values_list("outcome", "reason")
    return found


def told(receiver) -> dict[str, str]:
    [request] = receiver.requests
    return json.loads(request.body)


# --- what arrives


def test_a_person_gets_title_text_and_link_with_the_level(alice, receiver):
    reach.add(alice, "chat", target(receiver))
    notify(Chatted(text="Well done\\n<b>you</b>"), to=alice)

    deliver()

    message = told(receiver)
    assert message["title"] == "Grade A"
    assert message["message"] == "Well done\\n<b>you</b>\nhttps://school.example/grades/"
    assert (message["type"], message["attachments"]) == ("warning", [])
    assert row() == ("delivered", "delivered")
    assert Attempt.objects.get().detail == "JSON has taken it"


def test_a_team_gets_it_once(alice, bob, receiver):
    apprise.register(None, target(receiver), channel="chat", types=["chat.*"])
    notify(Chatted(), to=[alice, bob])

    deliver()

    assert told(receiver)["title"] == "Grade A"


def test_a_digest_is_one_message_with_a_line_for_each(alice, receiver, clock):
    reach.add(alice, "chat", target(receiver))
    for grade in "ABC":
        notify(Daily(grade=grade), to=alice)

    clock.forward(days=1)

    message = told(receiver)
    assert message["title"] == "3 new notifications"
    assert message["message"].splitlines() == [
        f"- Grade {grade} https://school.example/grades/" for grade in "ABC"
    ]


def test_nobody_wakes_a_whole_channel_by_what_they_write(alice, receiver):
    reach.add(alice, "chat", target(receiver))
    notify(Chatted(text="@everyone <@&42> <@!7> mail@hereford.example"), to=alice)

    deliver()

    text = told(receiver)["message"]
    assert "@everyone" not in text
    assert "@&42" not in text
    assert "@!7" not in text
    assert "mail@hereford.example" in text


# --- how much fits


def envelope(*contents: Content, total: int = 0) -> Envelope:
    entries = [
        Entry(
            event=1, type="a.b", category="", level=Level.INFO, content=content,
            created_at=outward.START,
        )
        for content in contents
    ]  # fmt: skip
    return Envelope(id="1", channel="chat", address=Address(value=""), entries=entries, total=total)


LONG = Content(title="Title", body="text " * 100, url="https://a.example/link")


def test_a_link_stays_whole_when_the_text_is_cut():
    title, body = apprise.texts(envelope(LONG), 250, 100)

    assert title == "Title"
    assert len(body) <= 100
    assert body.endswith("…\nhttps://a.example/link")


def test_a_service_without_titles_has_it_in_the_text():
    title, body = apprise.texts(envelope(LONG), 0, 160)

    assert title == ""
    assert len(body) <= 160
    assert body.startswith("Title\ntext text")
    assert body.endswith("\nhttps://a.example/link")


def test_a_notification_with_nothing_but_a_title_is_a_message():
    assert apprise.texts(envelope(Content(title="Title")), 250, 1000) == ("", "Title")
    assert apprise.texts(envelope(Content(title="Title")), 0, 1000) == ("", "Title")


def test_a_list_that_is_too_long_says_how_many_more_there_are():
    contents = [Content(title=f"Number {number}") for number in range(50)]

    title, body = apprise.texts(envelope(*contents, total=70), 250, 100)

    lines = body.splitlines()
    assert title == "70 new notifications"
    assert len(body) <= 100
    assert lines[0] == "- Number 0"
    assert lines[-1] == f"and {70 - (len(lines) - 1)} more"


@pytest.mark.parametrize("title_limit", [0, 1, 10, 250])
@pytest.mark.parametrize("body_limit", [1, 2, 20, 70, 160])
def test_no_limit_is_ever_exceeded(title_limit, body_limit):
    for many in ([LONG], [LONG] * 3, [Content(title="T" * 200)]):
        title, body = apprise.texts(envelope(*many), title_limit, body_limit)

        assert len(title) <= title_limit
        assert len(body) <= max(body_limit, title_limit)


# --- what may be entered


@pytest.fixture
def plain():
    """The channel as it is without options."""
    with outward.site(CHANNELS={"chat": {"BACKEND": "apprise"}}):
        yield get_channel("chat")


@pytest.mark.parametrize(
    ("url", "service"),
    [
        (f"slack://{SLACK}", "Slack"),
        (f"https://hooks.slack.com/services/{SLACK}", "Slack"),
        (f"  slack://{SLACK}?footer=no&image=no ", "Slack"),
        (f"https://discord.com/api/webhooks/{'4' * 18}/{'x' * 68}", "Discord"),
        (f"tgram://123456789:{'A' * 35}/12345/", "Telegram"),
        ("ntfy://my-topic", "ntfy"),
        ("https://ntfy.sh/my-topic", "ntfy"),
        (
            "https://prod-12.westus.logic.azure.com:443/workflows/643e69f8/triggers/manual/paths/"
            "invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=KODuebWb",
            "Power Automate / Workflows (for MSTeams)",
        ),
    ],
)
def test_urls_of_hosted_services_are_taken_and_called_by_their_name(alice, plain, url, service):
    endpoint = apprise.register(alice, url, channel="chat")

    assert (endpoint.address, endpoint.label) == (url.strip(), service)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "one of these services"),
        ("alice@example.org", "one of these services"),
        ("json://example.org/", "one of these services"),
        ("xml://example.org/", "one of these services"),
        ("form://example.org/", "one of these services"),
        ("syslog://", "one of these services"),
        ("dbus://", "one of these services"),
        ("windows://", "one of these services"),
        ("macosx://", "one of these services"),
        ("file:///etc/passwd", "one of these services"),
        ("mailto://user:secret@example.org", "one of these services"),
        ("SLACK", "one of these services"),
        ("slack://", "not a complete slack:// URL"),
        ("tgram://nonsense", "not a complete tgram:// URL"),
        ("https://example.org/hook", "No service is known"),
        ("http://169.254.169.254/", "No service is known"),
        (f"slack://{SLACK}?template=/etc/passwd", "option after"),
        (f"slack://{SLACK}?retry=10&wait=60", "option after"),
        (f"slack://{SLACK}?verify=no", "option after"),
        (f"slack://{SLACK}?rto=9999", "option after"),
        (f"slack://{SLACK}?%74emplate=/etc/passwd", "option after"),
        (f"slack://{SLACK}?+x-header=1", "option after"),
        (f"https://hooks.slack.com/services/{SLACK}?template=/etc/passwd", "option after"),
        (f"tgram://123456789:{'A' * 35}/1/2/3/4/5/6/", "more than 5 receivers"),
        ("ntfys://ntfy.inside.example/topic", "no other host"),
        ("ntfys://127.0.0.1/topic", "no other host"),
        ("ntfys://127.0.0.1/topic?mode=private", "no other host"),
        ("workflows://evil.example/wf/sig", "no other host"),
        ("workflows://evil-logic.azure.com.example/wf/sig", "no other host"),
    ],
)
def test_what_can_not_be_sent_to_is_refused_with_a_sentence(plain, url, why):
    with pytest.raises(InvalidAddress, match=why) as refused:
        plain.check_address(url)

    assert "TIiajkdnlazkcOXrIdevi7FQ" not in str(refused.value)
    assert "secret" not in str(refused.value).replace("secret, sid", "")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ntfy://93.184.216.34/topic", "Use ntfys://"),
        ("ntfys://127.0.0.1/topic", "private network"),
        ("ntfys://localhost/topic", "private network"),
        ("ntfys://nowhere.invalid/topic", "can't be found"),
        ("mmosts://10.0.0.1/3ccdd113474722377935511fc85d3dd4", "private network"),
    ],
)
def test_a_host_of_somebodys_own_must_be_public_and_have_tls(url, why):
    options = {"BACKEND": "apprise", "own_hosts": True, "schemes": ["ntfy", "ntfys", "mmosts"]}
    with (
        outward.site(CHANNELS={"chat": options}),
        pytest.raises(InvalidAddress, match=why),
    ):
        get_channel("chat").check_address(url)


def test_a_public_host_of_somebodys_own_is_taken_where_the_site_says_so():
    options = {"BACKEND": "apprise", "own_hosts": True}
    with outward.site(CHANNELS={"chat": options}):
        url = get_channel("chat").check_address("ntfys://93.184.216.34/topic")

    assert url == "ntfys://93.184.216.34/topic"


def test_what_is_not_allowed_any_more_is_not_sent_to(alice, receiver):
    reach.add(alice, "chat", target(receiver))
    notify(Chatted(), to=alice)

    with outward.site(CHANNELS={"chat": {"BACKEND": "apprise"}}):
        deliver()

    assert receiver.requests == []
    assert row()[0] == "failed"


# --- when it doesn't work


def test_a_service_that_fails_is_tried_again_and_the_status_is_on_record(alice, receiver):
    receiver.answer(503, 200)
    reach.add(alice, "chat", target(receiver))
    notify(Chatted(), to=alice)

    deliver()
    assert row() == ("pending", "to be tried again: JSON answered 503")

    Delivery.objects.update(due_at=timezone.now())
    deliver()
    assert row() == ("delivered", "delivered")


def test_a_service_that_is_not_there_is_tried_again(alice, receiver):
    with raw_server(until_closed) as port:
        pass
    reach.add(alice, "chat", f"json://{HOST}:{port}/geheim")
    notify(Chatted(), to=alice)

    deliver()

    assert row() == ("pending", "to be tried again: JSON could not be reached")


def test_a_service_that_says_nothing_is_given_up(alice):
    with raw_server(until_closed) as port, site(chat={**CHAT, "timeout": 0.3}):
        reach.add(alice, "chat", f"json://{HOST}:{port}/geheim")
        notify(Chatted(), to=alice)

        deliver()

    assert row()[0] == "pending"
    assert row()[1].startswith("to be tried again: JSON ")


def test_a_redirect_is_not_followed(alice, receiver):
    receiver.answer(307, Location=receiver.url("/inside"))
    reach.add(alice, "chat", target(receiver))
    notify(Chatted(), to=alice)

    deliver()

    assert [request.path for request in receiver.requests] == ["/geheim"]
    assert row() == ("pending", "to be tried again: JSON answered 307")


# --- secrets


def everything_logged(caplog, receiver, alice) -> str:
    receiver.answer(200, 500, 307, 200)
    for name in ("apprise", "urllib3", "requests", "clarion"):
        caplog.set_level(1, logger=name)
    caplog.set_level(1)
    apprise.register(alice, target(receiver, "geheim?name=geheim"), channel="chat")
    with pytest.raises(InvalidAddress):
        reach.add(alice, "chat", "json://:geheim@:0/geheim?template=geheim")
    with pytest.raises(InvalidAddress):
        reach.add(alice, "chat", "https://example.org/geheim")
    for _ in range(3):
        notify(Chatted(), to=alice)
    deliver()
    return caplog.text


def test_no_secret_gets_into_logs_reasons_or_texts(alice, receiver, caplog):
    logged = everything_logged(caplog, receiver, alice)

    endpoint = Endpoint.objects.get()
    reasons = Delivery.objects.values_list("reason", flat=True)
    details = Attempt.objects.values_list("detail", flat=True)
    assert len(receiver.requests) == len(details) == 3
    assert "is tried again" in logged  # our own line, without the address
    assert "geheim" not in " ".join([logged, str(endpoint), repr(endpoint), *reasons, *details])


def test_the_sites_own_use_of_apprise_is_logged_as_ever(alice, receiver, caplog):
    reach.add(alice, "chat", target(receiver))
    notify(Chatted(), to=alice)
    deliver()

    with caplog.at_level("INFO"):
        logging.getLogger("apprise").info("of the site")

    assert "of the site" in caplog.text


# --- an account of the site


def sms(receiver, **options: object) -> dict[str, object]:
    url = f"json://user:geheim@{HOST}:{receiver.port}/from/{{address}}"
    return {"BACKEND": SERVICE, "url": url, "address_field": "last_name", **options}


def test_a_persons_number_in_the_user_model_is_the_target(make_user, receiver):
    dora = make_user("dora", last_name="+49 (151) 234-567")
    with site(chat=sms(receiver)):
        notify(Chatted(), to=dora)
        deliver()

    [request] = receiver.requests
    assert request.path in ("/from/+49151234567", "/from/%2B49151234567")
    assert row() == ("delivered", "delivered")


def test_whoever_has_no_number_is_skipped_with_a_reason(make_user, receiver):
    people = [make_user("dora"), make_user("emil", last_name="no number, just words")]
    with site(chat=sms(receiver)):
        for person in people:
            notify(Chatted(), to=person)
        deliver()

    assert receiver.requests == []
    assert set(Delivery.objects.values_list("outcome", "reason")) == {
        ("skipped", "no address for chat")
    }


def test_a_number_that_was_registered_comes_before_the_one_of_the_model(make_user, receiver):
    dora = make_user("dora", last_name="+4911111")
    with site(chat=sms(receiver)):
        reach.add(dora, "chat", "+49 22222")
        notify(Chatted(), to=dora)
        deliver()

    [request] = receiver.requests
    assert request.path.endswith("22222")


@pytest.mark.parametrize("name", ["x#y", "a@b", "{x}", "a:b", "a=b", "#general"])
def test_a_name_can_not_change_the_url(receiver, name):
    with site(chat=sms(receiver)):
        service = get_channel("chat").service(name)

    assert (service.host, service.port, service.method) == (HOST, receiver.port, "POST")
    assert unquote(service.fullpath) == f"/from/{name}"


@pytest.mark.parametrize(
    "address",
    [
        "", "one two", "1,2", "1;2", "x" * 101, "a%20b", "%2e%2e", "..", "../../admin", "a\\b",
        "x?method=GET", "x&y",
    ],
)  # fmt: skip
def test_what_is_no_number_and_no_name_is_refused(receiver, address):
    with site(chat=sms(receiver)), pytest.raises(InvalidAddress, match="not a phone number"):
        get_channel("chat").check_address(address)


def test_the_account_is_not_shown(receiver):
    with site(chat=sms(receiver)):
        assert "geheim" not in repr(get_channel("chat"))


def test_a_url_without_a_place_for_the_number_is_refused_at_the_start():
    with (
        site(chat={"BACKEND": SERVICE, "url": "twilio://geheim"}),
        pytest.raises(
            ImproperlyConfigured, match=r"\['chat'\]\['url'\] must have {address}"
        ) as why,
    ):
        get_channel("chat")

    assert "geheim" not in str(why.value)


# --- failover


def test_a_chat_takes_over_when_the_first_channel_fails(alice, receiver):
    from clarion.channels import webhook

    first_options = {"BACKEND": "webhook", "allow_private": True, "allow_http": True}
    with (
        http_server() as first,
        site(chat={**first_options, "failover": "spare"}, spare=CHAT),
    ):
        first.answer(500)
        webhook.register(alice, first.url(), channel="chat")
        apprise.register(alice, target(receiver), channel="spare")
        notify(Chatted(), to=alice)
        deliver()

        assert len(first.requests) == 1
    assert told(receiver)["title"] == "Grade A"
    assert row() == ("delivered", "delivered")
    assert list(Attempt.objects.order_by("pk").values_list("channel", "outcome", "detail")) == [
        ("chat", "transient", "answered 500"),
        ("spare", "delivered", "JSON has taken it"),
    ]
