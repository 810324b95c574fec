"""Make the key pair of the web push channel."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

SETTINGS = """\
# The key pair of this site for web push. The private key is a secret: keep it where you keep
# SECRET_KEY. A new one ends all subscriptions. Its public key, which browsers are given, is
# {public_key}
CLARION = {{
    "CHANNELS": {{
        "webpush": {{
            "vapid_private_key": "{private_key}",
            "vapid_subject": "mailto:you@example.org",
        }},
    }},
}}"""


class Command(BaseCommand):
    help = "Print a fresh VAPID key pair as settings of the channel 'webpush'."
    requires_system_checks = []  # settings may wait for the very key

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            from clarion.channels.encryption import Vapid, new_private_key
        except ImportError as error:
            raise CommandError(
                f"{error}. Install it with: pip install 'django-clarion[webpush]'"
            ) from error
        private_key = new_private_key()
        public_key = Vapid(private_key, "").public_key
        self.stdout.write(SETTINGS.format(private_key=private_key, public_key=public_key))
