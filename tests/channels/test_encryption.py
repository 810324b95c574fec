"""Messages that one browser can read, and tokens that say who sent them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from clarion.channels.encryption import PLAINTEXT_LIMIT, Keys, Vapid, decode, encrypt
from tests.channels.pushservice import Browser, encode

PRIVATE_KEY = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
PUBLIC_KEY = Vapid(PRIVATE_KEY, "").public_key


@pytest.fixture
def browser() -> Browser:
    return Browser("https://push.example/x", PUBLIC_KEY)


def test_a_message_is_encrypted_as_rfc_8291_shows() -> None:
    """Its appendix A, with its keys and its salt."""
    keys = Keys.parse(
        {
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcx"
            "aOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        }
    )
    number = int.from_bytes(decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big")

    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        keys,
        salt=decode("DGv6ra1nlYgDCS1FRnbzlw"),
        sender=ec.derive_private_key(number, ec.SECP256R1()),
    )

    assert encode(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_the_largest_message_fills_a_request_of_4096_bytes(browser: Browser) -> None:
    keys = Keys.parse(browser.keys)

    assert len(encrypt(b"x" * PLAINTEXT_LIMIT, keys)) == 4096
    with pytest.raises(ValueError, match="3993"):
        encrypt(b"x" * (PLAINTEXT_LIMIT + 1), keys)


def test_no_two_messages_share_a_salt_or_a_key(browser: Browser) -> None:
    keys = Keys.parse(browser.keys)

    heads = {encrypt(b"the same", keys)[:86] for _ in range(20)}

    assert len({head[:16] for head in heads}) == len({head[21:] for head in heads}) == 20


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"auth": encode(b"x" * 16)}, "p256dh"),
        ({"p256dh": encode(b"\4" + b"x" * 64), "auth": encode(b"x" * 16)}, "not a point"),
        ({"p256dh": encode(b"\2" + b"x" * 32), "auth": encode(b"x" * 16)}, "65 bytes"),
        ({"p256dh": PUBLIC_KEY, "auth": encode(b"x" * 15)}, "16 bytes"),
        ({"p256dh": PUBLIC_KEY, "auth": 16}, "auth"),
        ({"p256dh": "*" * 87, "auth": encode(b"x" * 16)}, "p256dh"),
    ],
)
def test_keys_that_no_browser_made_are_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Keys.parse(given)


# --- who we are


def claims_of(header: str) -> dict[str, Any]:
    token = header.removeprefix("vapid t=").partition(",")[0]
    found: dict[str, Any] = json.loads(decode(token.split(".")[1]))
    return found


def test_a_token_is_used_again_for_its_origin_until_shortly_before_it_expires() -> None:
    vapid = Vapid(PRIVATE_KEY, "mailto:ops@school.example")
    first = vapid.authorization("https://push.example", 1_000_000.5)

    again = vapid.authorization("https://push.example", 1_000_000 + 2600)
    other = vapid.authorization("https://other.example", 1_000_000)
    later = vapid.authorization("https://push.example", 1_000_000 + 3000)

    assert first == again
    assert claims_of(first) == {
        "aud": "https://push.example", "exp": 1_003_600, "sub": "mailto:ops@school.example",
    }  # fmt: skip
    assert claims_of(other)["aud"] == "https://other.example"
    assert claims_of(later)["exp"] == 1_006_600
