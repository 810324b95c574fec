"""Mail that can't be sent: servers that refuse, hang, hang up or are away, and bad addresses."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from clarion import Content, Level, notify, outbox, reach
from clarion.channels import mailerrors
from clarion.channels.base import Address, Entry, Envelope, get_channel
from clarion.exceptions import EndpointGone, PermanentFailure, TransientFailure
from clarion.models import Attempt, Delivery, Endpoint
from tests import outward
from tests.channels.mailserver import (
    Mailbox,
    free_port,
    mail_server,
    refuse_login,
    sends_through,
    uses_backend,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def site(**options: Any) -> Any:
    return outward.site(CHANNELS={"email": options})


@pytest.fixture(autouse=True)
def _known_types() -> Iterator[None]:
    with outward.registered(), site():
        yield


@pytest.fixture
def server() -> Iterator[Mailbox]:
    with mail_server() as mailbox, sends_through(mailbox.port):
        yield mailbox


@pytest.fixture
def ada(make_user: Any) -> User:
    return make_user("ada", email="ada@school.example")


@pytest.fixture
def ben(make_user: Any) -> User:
    return make_user("ben", email="ben@school.example")


def deliver() -> None:
    while outbox.deliver_due():
        continue


def deliver_again() -> None:
    """As if the wait were over."""
    Delivery.objects.filter(outcome="pending").update(due_at=datetime.now(UTC))
    deliver()


def outcomes() -> list[tuple[str, str]]:
    rows = Delivery.objects.filter(channel="email").order_by("pk")
    return list(rows.values_list("outcome", "reason"))


# --- what the server says


@pytest.mark.parametrize(
    ("reply", "outcome", "reason"),
    [
        (
            "451 4.3.0 try later, ada@school.example",
            "pending",
            "asks to try again later (451 4.3.0)",
        ),
        ("450 busy", "pending", "asks to try again later (450)"),
        ("554 5.7.1 spam from ada@school.example", "failed", "refused the mail (554 5.7.1)"),
        ("550 5.7.1 relaying denied", "failed", "refused the mail (550 5.7.1)"),
        ("550 no relaying", "failed", "refused the mail (550)"),
        ("550 5.1.1 ada@school.example", "failed", "knows no such mailbox (550 5.1.1)"),
        ("550 mailbox unavailable", "failed", "knows no such mailbox (550)"),
    ],
)
def test_what_a_server_says_of_an_address_decides_what_follows(
    ada: User, server: Mailbox, reply: str, outcome: str, reason: str
) -> None:
    server.unknown["ada@school.example"] = reply
    notify(outward.Graded(), to=ada)

    deliver()

    [(became, why)] = outcomes()
    assert became == outcome
    assert reason in why
    assert "ada" not in why + Attempt.objects.get().detail
    gone = "no such mailbox" in reason
    assert Endpoint.objects.filter(retired_at__isnull=False).exists() == gone


def test_a_mail_that_is_refused_after_its_text_has_failed_and_the_address_stays(
    ada: User, server: Mailbox
) -> None:
    server.replies = ["550 unknown content"]
    notify(outward.Graded(), to=ada)

    deliver()

    assert outcomes() == [("failed", "the mail server refused the mail (550)")]
    assert Endpoint.objects.count() == 0


@pytest.mark.parametrize("behaviour", ["drop", "hang"])
def test_a_server_that_dies_in_the_middle_is_tried_again_with_the_same_id(
    ada: User, server: Mailbox, behaviour: str
) -> None:
    server.replies = [behaviour]
    notify(outward.Graded(), to=ada)

    deliver()
    before = outcomes()
    deliver_again()

    assert before == [
        ("pending", "to be tried again: the mail server did not answer in time, or broke off")
    ]
    assert outcomes() == [("delivered", "delivered")]
    assert Attempt.objects.last().reference == server.mail["Message-ID"]


def test_a_site_that_set_no_time_out_waits_no_longer_than_the_channel(
    ada: User, server: Mailbox
) -> None:
    server.replies = ["hang"]
    notify(outward.Graded(), to=ada)

    with site(timeout=1), sends_through(server.port, timeout=None):
        deliver()

    [(outcome, reason)] = outcomes()
    assert outcome == "pending"
    assert "did not answer in time" in reason


def test_every_try_carries_the_same_message_id(ada: User, server: Mailbox) -> None:
    notify(outward.Graded(), to=ada)
    deliver()

    outbox.replay(reach.add(ada, "email", "ada@school.example"), datetime(2020, 1, 1, tzinfo=UTC))
    Endpoint.objects.all().delete()
    deliver()

    first, second = server.mails
    assert first["Message-ID"] == second["Message-ID"]


def test_a_server_that_was_away_gets_the_mail_when_it_is_back(ada: User) -> None:
    port = free_port()
    notify(outward.Graded(), to=ada)

    with sends_through(port):
        deliver()
        away = outcomes()
        with mail_server(port=port) as server:
            deliver_again()

    assert away == [
        (
            "pending",
            "to be tried again: the mail server can't be reached: ConnectionRefusedError",
        )
    ]
    assert outcomes() == [("delivered", "delivered")]
    assert len(server.mails) == 1


def test_a_login_that_is_refused_is_a_fault_that_gets_mended(ada: User) -> None:
    notify(outward.Graded(), to=ada)

    options = {"authenticator": refuse_login, "auth_require_tls": False}
    with (
        mail_server(**options) as server,
        sends_through(server.port, username="clarion", password="secret-word"),
    ):
        deliver()
    [(outcome, reason)] = outcomes()
    with mail_server() as server, sends_through(server.port):
        deliver_again()

    assert outcome == "pending"
    assert "refused the login (535): check the mailer's user name and password" in reason
    assert "secret-word" not in reason
    assert "nobody" not in reason
    assert outcomes() == [("delivered", "delivered")]


def test_a_backend_that_fails_silently_is_not_believed(ada: User) -> None:
    notify(outward.Graded(), to=ada)

    with uses_backend("tests.channels.mailserver.SilentBackend"):
        deliver()

    [(outcome, reason)] = outcomes()
    assert outcome == "pending"
    assert "sent nothing" in reason


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (smtplib.SMTPSenderRefused(553, b"no", "x@y"), TransientFailure, "the sender (553)"),
        (smtplib.SMTPHeloError(504, b"no"), TransientFailure, "not ready (504)"),
        (smtplib.SMTPConnectError(421, b"no"), TransientFailure, "not ready (421)"),
        (smtplib.SMTPNotSupportedError("STARTTLS"), TransientFailure, "such as TLS"),
        (smtplib.SMTPDataError(550, b"5.1.1 no"), EndpointGone, "mailbox (550 5.1.1)"),
        (TimeoutError("secret"), TransientFailure, "did not answer in time"),
        (ConnectionResetError("secret"), TransientFailure, "ConnectionResetError"),
    ],
)
def test_every_error_of_a_mail_server_has_a_meaning(
    error: Exception, kind: type[Exception], reason: str
) -> None:
    failure = mailerrors.failure_of(error)

    assert type(failure) is kind
    assert reason in str(failure)
    assert "secret" not in str(failure)


def test_errors_of_something_else_are_left_as_they_are() -> None:
    assert mailerrors.failure_of(KeyError("x")) is None


def test_a_mail_service_is_understood_too() -> None:
    errors = pytest.importorskip("anymail.exceptions")

    refused = mailerrors.failure_of(errors.AnymailRecipientsRefused())
    lacking = mailerrors.failure_of(errors.AnymailUnsupportedFeature("metadata"))
    busy = mailerrors.failure_of(errors.AnymailAPIError("secret", status_code=503))

    assert isinstance(refused, PermanentFailure)
    assert "IGNORE_UNSUPPORTED_FEATURES" in str(lacking)
    assert isinstance(busy, TransientFailure)
    assert str(busy) == "the mail service answered 503"


# --- one connection


def test_a_run_needs_one_connection(make_user: Any, server: Mailbox) -> None:
    server.unknown["u2@school.example"] = "554 5.7.1 no"
    for number in range(5):
        user = make_user(f"u{number}", email=f"u{number}@school.example")
        notify(outward.Graded(), to=user)

    outbox.deliver_due()

    assert len(server.mails) == 4
    assert server.connections == 1


def test_the_connection_is_closed_after_a_run(ada: User, server: Mailbox) -> None:
    for _ in range(2):
        notify(outward.Graded(), to=ada)
        outbox.deliver_due()

    assert server.connections == 2
    assert get_channel("email")._line.connection is None


@pytest.mark.parametrize("reply", ["drop", "421 4.7.0 enough on this line"])
def test_a_server_that_hangs_up_between_two_mails_is_called_again_at_once(
    ada: User, ben: User, server: Mailbox, reply: str
) -> None:
    server.second = reply
    for user in (ada, ben):
        notify(outward.Graded(), to=user)

    outbox.deliver_due()

    assert sorted(server.recipients) == ["ada@school.example", "ben@school.example"]
    assert server.connections == 2
    assert outcomes() == [("delivered", "delivered")] * 2


def test_after_a_failure_the_others_go_by_a_new_connection(make_user: Any, server: Mailbox) -> None:
    server.replies = ["drop"]
    for number in range(3):
        user = make_user(f"u{number}", email=f"u{number}@school.example")
        notify(outward.Graded(), to=user)

    outbox.deliver_due()

    assert [outcome for outcome, _ in outcomes()] == ["pending", "delivered", "delivered"]
    assert server.connections == 2


def test_a_mail_sent_by_itself_leaves_no_connection_open(server: Mailbox) -> None:
    channel = get_channel("email")
    entry = Entry(
        event=1, type="x", category="", level=Level.INFO, content=Content(title="One"),
        created_at=datetime.now(UTC),
    )  # fmt: skip
    address = Address(value="ada@school.example")

    channel.send(Envelope(id="1", channel="email", address=address, entries=[entry]))

    assert server.recipients == ["ada@school.example"]
    assert channel._line.connection is None


# --- where to


def test_a_team_has_an_address_and_no_link_of_a_person(ada: User, server: Mailbox) -> None:
    reach.add(None, "email", "office@school.example")

    notify(outward.Graded(), to=ada)
    deliver()

    [of_team] = [mail for mail in server.mails if mail["To"] == "office@school.example"]
    assert of_team["Subject"] == "Grade A"
    assert of_team["List-Unsubscribe"] is None
    assert sorted(server.recipients) == ["ada@school.example", "office@school.example"]


def test_nobody_is_mailed_who_has_no_address(make_user: Any, server: Mailbox) -> None:
    notify(outward.Graded(), to=make_user("nobody"))

    deliver()

    assert outcomes() == [("skipped", "no address for email")]
    assert server.connections == 0


@pytest.mark.parametrize(
    "address", ["ada", "ada@", "ada@school.example\nBcc: eve@evil.example", "ä@school.example"]
)
def test_a_bad_address_fails_and_is_not_told(
    make_user: Any, ben: User, server: Mailbox, address: str
) -> None:
    notify(outward.Graded(), to=make_user("ada", email=address))
    notify(outward.Graded(), to=ben)

    deliver()

    assert outcomes() == [
        ("failed", "the address is not a mail address"),
        ("delivered", "delivered"),
    ]
    assert server.recipients == ["ben@school.example"]


def test_a_domain_in_other_letters_is_sent_in_ascii(make_user: Any, server: Mailbox) -> None:
    notify(outward.Graded(), to=make_user("ada", email="ada@bücher.example"))

    deliver()

    assert server.recipients == ["ada@xn--bcher-kva.example"]


def test_each_address_of_a_person_gets_a_mail_of_its_own(ada: User, server: Mailbox) -> None:
    for address in ("ada@home.example", "ada@work.example"):
        reach.add(ada, "email", address)
    notify(outward.Graded(), to=ada)

    deliver()

    assert sorted(server.recipients) == ["ada@home.example", "ada@work.example"]
    assert len({mail["Message-ID"] for mail in server.mails}) == 2
    assert [mail["To"] for mail in server.mails] == server.recipients


def test_one_bad_address_of_two_does_not_repeat_the_other(ada: User, server: Mailbox) -> None:
    for address in ("ada@home.example", "ada@work.example"):
        reach.add(ada, "email", address)
    server.unknown["ada@work.example"] = "451 later"
    notify(outward.Graded(), to=ada)

    deliver()
    server.unknown.clear()
    deliver_again()

    assert sorted(server.recipients) == ["ada@home.example", "ada@work.example"]
    assert outcomes() == [("delivered", "delivered")]


def test_a_mailbox_that_is_gone_is_not_tried_again_until_the_address_changes(
    ada: User, server: Mailbox
) -> None:
    server.unknown["ada@school.example"] = "550 5.1.1 no such user"
    for _ in range(2):
        notify(outward.Graded(), to=ada)
        deliver()
    ada.email = "ada@new.example"
    ada.save()
    notify(outward.Graded(), to=ada)
    deliver()

    assert outcomes() == [
        ("failed", "the mail server knows no such mailbox (550 5.1.1)"),
        ("skipped", "its address was retired"),
        ("delivered", "delivered"),
    ]
    assert server.recipients == ["ada@new.example"]
