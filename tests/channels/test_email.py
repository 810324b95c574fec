"""Mail, through Django and a real mail server: what arrives, and what happens when it can't."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.core.exceptions import ImproperlyConfigured

from clarion import Action, Content, Level, notify, outbox, preferences, types
from clarion.channels import letter
from clarion.channels.base import Address, Entry, Envelope, get_channel
from clarion.exceptions import InvalidAddress
from clarion.models import Attempt, Delivery
from clarion.routes import email, inbox
from tests import outward
from tests.channels.mailserver import Mailbox, mail_server, sends_through
from tests.testapp.models import Article

if TYPE_CHECKING:
    from email.message import EmailMessage

    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Feedback(outward.Graded):
    type = "mail.feedback"
    category = "feedback"
    channels = [inbox(), email()]
    text: str = "Well done!\n\nSee you on Thursday,\nAda"

    def content(self, event: Any) -> Content:
        return Content(
            title=f"{event.who} wrote to you",
            body=self.text,
            url="/feedback/1/",
            image="/media/ada.png",
            actions=[
                Action("Answer", "/feedback/1/answer/"),
                Action("Delete", "/feedback/1/delete/", method="POST"),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class SignIn(outward.Graded):
    type = "mail.signin"
    category = "security"
    required = True


@dataclass(frozen=True, kw_only=True)
class Together(outward.Graded):
    type = "mail.together"
    channels = [inbox(), email(batch="1h")]


@dataclass(frozen=True, kw_only=True)
class Daily(outward.Graded):
    type = "mail.daily"
    channels = [inbox(), email(default="digest", digest="daily")]


@dataclass(frozen=True, kw_only=True)
class DailyNews(Daily):
    type = "mail.news"
    category = "school_news"


TYPES = (Feedback, SignIn, Together, Daily, DailyNews)


def german(user: Any) -> str:
    return "de"


def hebrew(user: Any) -> str:
    return "he"


def site(**settings: Any) -> Any:
    options = settings.pop("email", {})
    return outward.site(CHANNELS={"email": options}, **settings)


@pytest.fixture(autouse=True)
def known_types() -> Iterator[None]:
    for cls in TYPES:
        types.register(cls)
    with outward.registered(), site():
        yield
    for cls in TYPES:
        del types._registry[cls.type]


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


@pytest.fixture
def clock() -> Iterator[outward.Travel]:
    with outward.clock() as travel:
        yield travel


def deliver() -> None:
    while outbox.deliver_due():
        continue


def outcomes() -> list[tuple[str, str]]:
    rows = Delivery.objects.filter(channel="email").order_by("pk")
    return list(rows.values_list("outcome", "reason"))


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def html_of(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def envelope(*entries: Entry, **fields: Any) -> Envelope:
    return Envelope(
        id="7",
        channel="email",
        address=Address(value=fields.pop("to", "ada@school.example")),
        entries=entries or [entry()],
        **fields,
    )


def entry(title: str = "Grade A", **fields: Any) -> Entry:
    texts = {
        name: fields.pop(name) for name in ("body", "url", "image", "actions") if name in fields
    }
    known = {"event": 1, "type": "mail.any", "category": "grades", "level": Level.INFO}
    content = Content(title=title, **texts)
    return Entry(**{**known, **fields}, content=content, created_at=NOON)


# --- what arrives


def test_a_notification_arrives_as_a_mail_with_text_and_html(
    ada: User, ben: User, server: Mailbox
) -> None:
    notify(Feedback(), to=ada, actor=ben)

    deliver()

    mail = server.mail
    assert server.recipients == ["ada@school.example"]
    assert mail["To"] == "ada@school.example"
    assert mail["Subject"] == "ben wrote to you"
    assert mail.get_content_type() == "multipart/alternative"
    assert "ben wrote to you\n\nWell done!\n\nSee you on Thursday,\nAda\n" in text_of(mail)
    assert "Answer: https://school.example/feedback/1/answer/" in text_of(mail)
    assert "<p>Well done!</p>" in html_of(mail)
    assert "<p>See you on Thursday,<br>Ada</p>" in html_of(mail)
    assert 'href="https://school.example/feedback/1/"' in html_of(mail)
    assert 'src="https://school.example/media/ada.png"' in html_of(mail)
    assert outcomes() == [("delivered", "delivered")]


def test_only_what_a_click_can_do_becomes_a_button(ada: User, ben: User, server: Mailbox) -> None:
    notify(Feedback(), to=ada, actor=ben)

    deliver()

    html = html_of(server.mail)
    buttons = re.findall(r'<table class="button.*?<a href="([^"]+)"', html)
    assert buttons == [
        "https://school.example/feedback/1/",
        "https://school.example/feedback/1/answer/",
    ]
    assert "delete" not in html + text_of(server.mail)


def test_the_headers_say_what_kind_of_mail_it_is(ada: User, server: Mailbox) -> None:
    with site(
        email={"from_email": "School <post@school.example>", "reply_to": "it@school.example"}
    ):
        notify(outward.Graded(), to=ada)
        deliver()

    mail = server.mail
    assert mail["From"] == "School <post@school.example>"
    assert mail["Reply-To"] == "it@school.example"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Id"] == "<grades.school.example>"
    assert mail["Feedback-ID"] == "grades:out.graded:single:school.example"
    assert re.fullmatch(r"<\d+\.[0-9a-f]{24}@school\.example>", mail["Message-ID"])
    assert Attempt.objects.get().reference == mail["Message-ID"]


def test_a_mail_that_can_be_stopped_says_how_in_one_click(ada: User, server: Mailbox) -> None:
    with site(email={"unsubscribe_mailto": "stop@school.example"}):
        notify(outward.Graded(), to=ada)
        deliver()

    raw = server.raw[0].decode()
    [(link, mailto)] = re.findall(
        r"^List-Unsubscribe: ?\s*<(https://school\.example/notifications/unsubscribe/[^>\s]+)>,\s*"
        r"<mailto:(stop@school\.example\?subject=unsubscribe%20[^>\s]+)>\r\n",
        raw,
        re.MULTILINE,
    )
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw
    assert link in text_of(server.mail)
    assert link in html_of(server.mail)
    assert "ada" not in link + mailto


def test_what_is_required_can_not_be_stopped(ada: User, server: Mailbox) -> None:
    notify(SignIn(), to=ada)

    deliver()

    assert server.mail["List-Unsubscribe"] is None
    assert server.mail["List-Unsubscribe-Post"] is None
    assert "nsubscribe" not in text_of(server.mail) + html_of(server.mail)


def test_one_click_needs_https(ada: User, server: Mailbox) -> None:
    with site(SITE_URL="http://localhost:8000"):
        notify(outward.Graded(), to=ada)
        deliver()

    assert "http://localhost:8000/notifications/unsubscribe/" in server.mail["List-Unsubscribe"]
    assert server.mail["List-Unsubscribe-Post"] is None


def test_mails_about_one_thing_stand_together(ada: User, ben: User, server: Mailbox) -> None:
    one, other = (Article.objects.create(title=title, author=ben) for title in ("One", "Other"))
    for target, user in ((one, ada), (one, ada), (other, ada), (one, ben)):
        notify(outward.Graded(), to=user, target=target)
        deliver()

    first, second, elsewhere, of_ben = (mail["References"] for mail in server.mails)
    assert first == second == server.mails[0]["In-Reply-To"]
    assert len({first, elsewhere, of_ben}) == 3
    assert len({mail["Message-ID"] for mail in server.mails}) == 4


def test_a_mail_speaks_the_language_and_the_time_zone_of_its_reader(
    ada: User, server: Mailbox, clock: outward.Travel
) -> None:
    preferences.set_schedule(ada, zone="Asia/Tokyo")

    with site(RECIPIENT_LANGUAGE="tests.channels.test_email.german"):
        notify(outward.Graded(), to=ada)
        deliver()

    assert '<html lang="de" dir="ltr"' in html_of(server.mail)
    assert "20. November 2026 21:00" in html_of(server.mail)
    assert "20. November 2026 21:00" in text_of(server.mail)


def test_a_mail_runs_from_right_to_left_where_its_language_does(ada: User, server: Mailbox) -> None:
    with site(RECIPIENT_LANGUAGE="tests.channels.test_email.hebrew"):
        notify(outward.Graded(), to=ada)
        deliver()

    html = html_of(server.mail)
    assert '<html lang="he" dir="rtl"' in html
    assert "direction:ltr" not in html
    assert "text-align:right;color:" in html


def test_what_people_write_is_text_and_never_markup(ada: User, ben: User, server: Mailbox) -> None:
    notify(Feedback(text="<script>alert(1)</script> {{ 1 }}"), to=ada, actor=ben)

    deliver()

    assert "<script" not in html_of(server.mail)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ 1 }}" in html_of(server.mail)
    assert "<script>alert(1)</script> {{ 1 }}" in text_of(server.mail)


def test_only_web_addresses_become_links() -> None:
    relative = entry(url="/nowhere/", actions=[Action("Here", "nowhere/")], image="nowhere.png")

    written = letter.write(envelope(relative), site_name="School")

    assert "nowhere" not in written.html + written.text


def test_a_subject_is_one_line_and_not_too_long() -> None:
    written = letter.write(
        envelope(entry("One\r\nBcc: everybody@school.example\u2028" + "x" * 300)), site_name=""
    )

    assert written.subject.startswith("One Bcc: everybody@school.example x")
    assert len(written.subject) == letter.SUBJECT_LIMIT


def test_a_subject_keeps_its_letters(ada: User, make_user: Any, server: Mailbox) -> None:
    zoe = make_user("zoë")

    notify(Feedback(), to=ada, actor=zoe)
    deliver()

    assert server.mail["Subject"] == "zoë wrote to you"


def test_text_alone_is_sent_where_that_is_wanted(ada: User, server: Mailbox) -> None:
    with site(email={"text_only": True}):
        notify(outward.Graded(), to=ada)
        deliver()

    assert server.mail.get_content_type() == "text/plain"


def test_no_picture_font_or_style_is_fetched_that_nobody_asked_for(
    ada: User, server: Mailbox
) -> None:
    notify(outward.Graded(), to=ada)

    deliver()

    html = html_of(server.mail)
    assert not re.search(r"<(img|link|script|iframe)|@import|url\(", html)
    assert '<meta name="color-scheme" content="light dark"' in html
    assert "prefers-color-scheme: dark" in html


# --- several as one


def test_a_digest_names_how_many_and_groups_them_by_category(
    ada: User, server: Mailbox, clock: outward.Travel
) -> None:
    for what in (Daily(grade="A"), DailyNews(grade="B"), Daily(grade="C")):
        notify(what, to=ada)

    clock.forward(days=1)

    assert server.mail["Subject"] == "3 new notifications"
    assert re.search(
        r"Grades\n\n\* Grade A\n.*\* Grade C\n.*School news\n\n\* Grade B\n",
        text_of(server.mail),
        re.DOTALL,
    )
    assert html_of(server.mail).count('class="title"') == 3
    assert server.mail["List-Id"] == "<notifications.school.example>"
    assert outcomes() == [("delivered", "delivered")] * 3


def test_a_digest_of_one_category_says_which(
    ada: User, server: Mailbox, clock: outward.Travel
) -> None:
    for grade in "AB":
        notify(Daily(grade=grade), to=ada)

    clock.forward(days=1)

    assert server.mail["Subject"] == "Grades: 2 new notifications"
    assert server.mail["List-Id"] == "<grades.school.example>"


def test_a_digest_of_one_is_a_mail_like_any_other(
    ada: User, server: Mailbox, clock: outward.Travel
) -> None:
    notify(Daily(), to=ada)

    clock.forward(days=1)

    assert server.mail["Subject"] == "Grade A"


def test_a_batch_begins_with_the_latest(ada: User, server: Mailbox, clock: outward.Travel) -> None:
    for grade in "ABC":
        notify(Together(grade=grade), to=ada)

    clock.forward(hours=1)

    assert server.mail["Subject"] == "Grade C, and 2 more"


def test_what_a_digest_has_no_room_for_is_counted() -> None:
    written = letter.write(envelope(entry(), entry(), kind="digest", total=60), site_name="")

    assert written.subject == "Grades: 60 new notifications"
    assert "and 58 more" in written.text
    assert "and 58 more" in written.html


# --- templates of the site


class Templates:
    """Templates of the site: beside those of the package, and found before them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        path = self.folder / "clarion" / "email" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def templates(tmp_path: Path, settings: Any) -> Templates:
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    return Templates(tmp_path)


def test_a_type_may_have_templates_of_its_own(
    ada: User, server: Mailbox, templates: Templates
) -> None:
    templates.write("out.graded/subject.txt", "A mark, {{ recipient.first_name }}\n")
    templates.write(
        "out.graded/body.html",
        '{% extends "clarion/email/default/body.html" %}'
        "{% block content %}<p>Mine</p>{% endblock %}",
    )

    notify(outward.Graded(), to=ada)
    deliver()
    notify(outward.MailOnly(), to=ada)
    deliver()

    own, other = server.mails
    assert own["Subject"] == "A mark, Ada"
    assert "<p>Mine</p>" in html_of(own)
    assert "Grade A" in text_of(own)
    assert other["Subject"] == "Grade A"
    assert "<p>Mine</p>" not in html_of(other)


def test_a_digest_of_one_type_may_have_templates_of_its_own(templates: Templates) -> None:
    templates.write("mail.any/digest/subject.txt", "{{ count }} marks")

    alone = letter.write(envelope(entry(), entry(), kind="digest"), site_name="")
    mixed = letter.write(envelope(entry(), entry(type="mail.other"), kind="digest"), site_name="")

    assert alone.subject == "2 marks"
    assert mixed.subject == "Grades: 2 new notifications"


def test_a_template_that_raises_holds_up_nobody_else(
    ada: User, server: Mailbox, templates: Templates, caplog: pytest.LogCaptureFixture
) -> None:
    templates.write("out.graded/body.txt", "{% now %}")

    notify(outward.Graded(), to=ada)
    notify(outward.MailOnly(), to=ada)
    with caplog.at_level(logging.ERROR, "clarion"):
        deliver()

    assert [mail["Subject"] for mail in server.mails] == ["Grade A"]
    assert outcomes() == [
        ("pending", "to be tried again: TemplateSyntaxError"),
        ("delivered", "delivered"),
    ]
    assert "could not be rendered" in caplog.text


def test_the_compiled_templates_are_up_to_date() -> None:
    pytest.importorskip("mrml")
    from tools import mjml

    assert mjml.main(["--check"]) == 0


# --- what a channel is told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"from_email": "School"}, "'from_email']: is not a mail address"),
        ({"reply_to": "x"}, "'reply_to']: is not a mail address"),
        ({"unsubscribe_mailto": "x y@z"}, "'unsubscribe_mailto']: is not a mail address"),
        ({"form_email": "x@y.example"}, "did you mean 'from_email'?"),
        (
            {"backend": "x"} if django.VERSION >= (6, 1) else {"mailer": "second"},
            "MAILERS" if django.VERSION >= (6, 1) else "needs Django 6.1",
        ),
    ],
)
def test_a_wrong_option_is_refused_with_its_place(options: dict[str, Any], said: str) -> None:
    with site(email=options), pytest.raises(ImproperlyConfigured, match=re.escape(said)) as caught:
        get_channel("email")

    assert "CLARION['CHANNELS']['email']" in str(caught.value)


def test_an_address_is_stored_in_one_plain_form() -> None:
    channel = get_channel("email")

    assert channel.check_address(" Ada@School.example\n") == "Ada@School.example"
    assert channel.check_address("ada@bücher.example") == "ada@xn--bcher-kva.example"


@pytest.mark.parametrize(
    "address",
    [
        "", "ada", "ada@", "@school.example", "ada@school", "a da@school.example",
        "ada@school.example\nBcc: eve@evil.example", "ada@school.example, eve@evil.example",
        "Ada <ada@school.example>", "ädä@school.example", f"ada@{'x' * 70}.example",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidAddress, match="not a mail address"):
        get_channel("email").check_address(address)
