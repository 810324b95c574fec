"""The site with push, to a push service on this machine."""

from tests.e2e.settings import *  # noqa: F403
from tests.e2e.settings import CLARION, MIDDLEWARE

MIDDLEWARE = ["tests.e2e.push_policy.push_policy", *MIDDLEWARE]
CLARION = {
    **CLARION,
    "DEFAULT_CHANNELS": ["inbox", "webpush"],
    "CHANNELS": {
        "webpush": {
            "vapid_private_key": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
            "vapid_subject": "mailto:ops@school.example",
            "services": ["127.0.0.1"],
            "allow_private": True,
        }
    },
}
