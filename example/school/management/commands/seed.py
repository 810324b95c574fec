from django.core.management.base import BaseCommand

from school.demo.history import seed_history
from school.demo.people import ACCOUNTS, PASSWORD, seed_people
from school.models import User


class Command(BaseCommand):
    help = (
        "Fill the school with people and some past notifications. Safe to run again. Everybody's "
        f"password is {PASSWORD!r}, so this is for trying things out."
    )

    def handle(self, *args: object, **options: object) -> None:
        made = seed_people()
        told = seed_history()
        if not made and not told:
            self.stdout.write("The school is there already.")
            return
        names = ", ".join(account.username for account in ACCOUNTS)
        self.stdout.write(
            f"The school has {User.objects.count()} people, and {told} things have happened.\n"
            f"Sign in as {names}; the password is {PASSWORD}."
        )
