"""The sink of the demo: what is sent to it is on its page, and does nothing there but be read."""

from __future__ import annotations

import json
import smtplib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from http.client import HTTPResponse
from typing import Any

import pytest

from tests.conftest import need

try:
    from standardwebhooks import Webhook

    from clarion.channels.encryption import Keys, Vapid, encrypt, new_private_key
    from tools.sink import Sink, sink
except ImportError:
    Sink = None  # type: ignore[misc, assignment]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def outside() -> Iterator[Sink]:
    need(Sink, "aiosmtpd, standardwebhooks and cryptography")
    with sink() as running:
        running.secret = SECRET
        yield running


def send(outside: Sink, *, subject: str = "Hello", html: str = "", **headers: str) -> None:
    message = EmailMessage()
    message["From"] = "School <school@school.example>"
    message["To"] = "Grace <grace@school.example>"
    message["Subject"] = subject
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("Dear Grace & Emeka")
    if html:
        message.add_alternative(html, subtype="html")
    host, _, port = outside.smtp.removeprefix("smtp://").partition(":")
    with smtplib.SMTP(host, int(port)) as server:
        server.send_message(message)


def post(outside: Sink, body: bytes, *, secret: str = SECRET, url: str = "") -> int:
    """The answer to a webhook that is signed with `secret`."""
    now = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, body.decode()),
    }
    return status_of(urllib.request.Request(url or outside.webhook, data=body, headers=headers))


def push(outside: Sink, notification: dict[str, str], *, known: bool = True) -> int:
    """The answer to a push message of a site whose key the device knows, or doesn't."""
    vapid = Vapid(new_private_key(), "mailto:it@school.example")
    outside.device.application_key = vapid.public_key if known else ""
    endpoint = outside.device.endpoint
    headers = {
        "Authorization": vapid.authorization(endpoint.partition("/push/")[0], time.time()),
        "Content-Encoding": "aes128gcm",
        "TTL": "60",
    }
    message = json.dumps({"web_push": 8030, "notification": notification}).encode()
    body = encrypt(message, Keys.parse(outside.device.keys))
    return status_of(urllib.request.Request(endpoint, data=body, headers=headers))


def status_of(request: urllib.request.Request) -> int:
    try:
        return int(urllib.request.urlopen(request, timeout=10).status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def get(outside: Sink, path: str = "") -> tuple[str, HTTPResponse]:
    with urllib.request.urlopen(outside.url + path, timeout=10) as answer:
        return answer.read().decode(), answer


def page(outside: Sink, path: str = "") -> str:
    return get(outside, path)[0]


def kept(outside: Sink) -> dict[str, list[dict[str, Any]]]:
    return dict(json.loads(page(outside, "api/")))


def test_a_mail_is_on_the_page_and_has_one_of_its_own(outside: Sink) -> None:
    send(outside, subject="Sam was absent", List_Unsubscribe="<https://school.example/u>")

    listed = page(outside)
    [mail] = kept(outside)["mails"]
    whole = page(outside, f"mail/{mail['number']}")

    assert "Sam was absent" in listed
    assert "school@school.example to grace@school.example" in listed
    assert "Dear Grace &amp; Emeka" in whole
    assert "&lt;https://school.example/u&gt;" in whole


def test_the_newest_comes_first(outside: Sink) -> None:
    for subject in ("First", "Second"):
        send(outside, subject=subject)

    listed = page(outside)

    assert listed.index("Second") < listed.index("First")
    assert [mail["subject"] for mail in kept(outside)["mails"]] == ["Second", "First"]


def test_a_webhook_with_a_good_signature_is_verified(outside: Sink) -> None:
    status = post(outside, b'{"type": "grade.posted", "data": {"title": "A"}}')

    [hook] = kept(outside)["webhooks"]
    assert status == 204
    assert (hook["type"], hook["verified"]) == ("grade.posted", True)
    assert "signature verified" in page(outside)
    assert "&quot;title&quot;: &quot;A&quot;" in page(outside, f"webhook/{hook['number']}")


def test_a_webhook_with_a_bad_signature_is_refused_and_shown_as_such(outside: Sink) -> None:
    status = post(outside, b'{"type": "grade.posted"}', secret="whsec_" + 32 * "A")

    assert status == 401
    assert [hook["verified"] for hook in kept(outside)["webhooks"]] == [False]
    assert "not verified: No matching signature found" in page(outside)
    assert "signature verified" not in page(outside)


def test_nothing_is_verified_before_the_secret_is_known(outside: Sink) -> None:
    outside.secret = ""

    assert post(outside, b"{}") == 401

    assert "no secret to verify it with" in page(outside)


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b"{}", b'"text"'])
def test_a_body_that_is_no_webhook_is_shown_all_the_same(outside: Sink, body: bytes) -> None:
    post(outside, body)

    [hook] = kept(outside)["webhooks"]
    assert hook["type"] == "(no type)"
    assert page(outside, f"webhook/{hook['number']}")


def test_a_push_message_is_decrypted_and_shown(outside: Sink) -> None:
    status = push(outside, {"title": "Museum on Friday", "body": "Bring lunch."})

    [shown] = kept(outside)["pushes"]
    assert status == 201
    assert (shown["title"], shown["body"]) == ("Museum on Friday", "Bring lunch.")
    assert "Museum on Friday" in page(outside)


def test_a_push_message_of_another_site_is_refused(outside: Sink) -> None:
    assert push(outside, {"title": "Museum on Friday"}, known=False) == 400

    assert kept(outside)["pushes"] == []


def test_what_arrives_is_shown_as_text_and_never_run(outside: Sink) -> None:
    send(outside, subject=EVIL, html=f"<head></head><p>{EVIL}</p>", X_Evil=EVIL)
    post(outside, json.dumps({"type": EVIL, "data": EVIL}).encode())

    push(outside, {"title": EVIL, "body": EVIL})
    [mail], [hook], [_] = kept(outside).values()
    paths = ["", f"mail/{mail['number']}", f"webhook/{hook['number']}"]
    shown = [page(outside, path) for path in paths]

    for text in shown:
        assert EVIL not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown[0]


def test_the_html_of_a_mail_is_kept_in_a_sandbox_by_its_frame_and_its_policy(
    outside: Sink,
) -> None:
    send(outside, html=f"<head></head><p>{EVIL}</p>")
    [mail] = kept(outside)["mails"]

    whole = page(outside, f"mail/{mail['number']}")
    text, answer = get(outside, f"mail/{mail['number']}/html")

    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in whole
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-popups")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert EVIL in text


def test_pages_allow_no_script_but_their_own(outside: Sink) -> None:
    _, answer = get(outside)

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_other_addresses_are_not_found_and_other_posts_refused(outside: Sink) -> None:
    for path in ("mail/99", "mail/99/html", "webhook/99", "../sink.py", "sink.py"):
        with pytest.raises(urllib.error.HTTPError) as found:
            page(outside, path)
        found.value.close()
        assert found.value.code == 404
    assert post(outside, b"{}", url=outside.url) == 400
    assert kept(outside)["webhooks"] == []
