import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clarion import reach
from clarion.channels import webhook
from clarion.channels.base import get_channel
from clarion.exceptions import InvalidAddress
from clarion.models import Endpoint
from school.models import User

LABEL = "The sink of the demo"


class Command(BaseCommand):
    help = (
        "Connect what shows all that leaves the school: by webhooks it hears of everything, and it "
        "is a device of PERSON. What was connected before is not any more. Prints as JSON the "
        "secret of the webhooks and the public key of the pushes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name in ("webhook", "person", "endpoint", "p256dh", "auth"):
            parser.add_argument(name)

    def handle(self, *args: object, **given: Any) -> None:
        Endpoint.objects.filter(label=LABEL).delete()
        person = User.objects.get(username=given["person"])
        try:
            _, secret = webhook.register(None, given["webhook"], label=LABEL)
            keys = {"p256dh": given["p256dh"], "auth": given["auth"]}
            reach.add(person, "webpush", given["endpoint"], label=LABEL, data=keys)
        except InvalidAddress as error:
            raise CommandError(str(error)) from error
        push: Any = get_channel("webpush")
        self.stdout.write(json.dumps({"secret": secret, "key": push.vapid.public_key}))
