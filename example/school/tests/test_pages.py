"""Who gets in, and what they see."""

from __future__ import annotations

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from school.demo.people import ACCOUNTS, PASSWORD
from school.models import Guardianship, User
from school.tests.base import SchoolTestCase


class SigningIn(SchoolTestCase):
    def test_every_page_asks_who_you_are(self) -> None:
        for url in (
            reverse("home"),
            reverse("send"),
            reverse("notice", args=[1]),
            reverse("clarion:inbox"),
        ):
            with self.subTest(url):
                self.assertRedirects(self.client.get(url), f"{reverse('login')}?next={url}")

    def test_name_and_password_open_the_home_page(self) -> None:
        answer = self.client.post(
            reverse("login"), {"username": "sam", "password": PASSWORD}, follow=True
        )

        self.assertContains(answer, "Hello, Sam")

    def test_a_wrong_password_is_told_and_opens_nothing(self) -> None:
        answer = self.client.post(reverse("login"), {"username": "sam", "password": "sesame"})

        self.assertContains(answer, "enter a correct username and password")
        assert "_auth_user_id" not in self.client.session

    def test_signing_out_takes_a_post_and_leads_to_the_login_page(self) -> None:
        self.client.force_login(self.sam)

        assert self.client.get(reverse("logout")).status_code == 405
        self.assertRedirects(self.client.post(reverse("logout")), reverse("login"))
        assert "_auth_user_id" not in self.client.session

    @override_settings(DEBUG=True)
    def test_demo_accounts_are_offered_while_developing(self) -> None:
        answer = self.client.get(reverse("login"))

        for account in ACCOUNTS:
            self.assertContains(answer, f'data-username="{account.username}"')

    def test_demo_accounts_are_not_offered_otherwise(self) -> None:
        self.assertNotContains(self.client.get(reverse("login")), "data-username")


class Pages(SchoolTestCase):
    def test_everybody_sees_their_own_part_of_the_school(self) -> None:
        seen = {
            self.sam: ["Your class: 7a", "Ada Test", "Your guardians", "Grace Test"],
            self.grace: ["Your children", "Mia Test", "Class 5b", "Class teacher of 7a"],
            self.ada: ["Your class: 7a", "Sent by you", "Write to their guardians"],
        }
        for user, texts in seen.items():
            self.client.force_login(user)
            page = self.client.get(reverse("home"))
            for text in texts:
                with self.subTest(user=user, text=text):
                    self.assertContains(page, text)

    def test_what_arrived_is_on_the_home_page_and_the_bell_counts_it(self) -> None:
        self.send(self.ada, to_kind="person", to="sam", title="Museum on Friday", level="warning")
        self.client.force_login(self.sam)

        page = self.client.get(reverse("home"))

        self.assertContains(page, "Museum on Friday")
        self.assertContains(page, 'unread="1"')

    def test_scripts_carry_the_nonce_of_the_policy(self) -> None:
        self.client.force_login(self.sam)

        page = self.client.get(reverse("home"))

        nonce = page.wsgi_request.csp_nonce
        assert f"'nonce-{nonce}'" in page.headers["Content-Security-Policy"]
        scripts = page.content.decode().count('<script type="module"')
        assert page.content.decode().count(f'nonce="{nonce}"') == scripts
        assert self.client.get(reverse("home")).wsgi_request.csp_nonce != nonce

    def test_the_inbox_page_wears_the_clothes_of_the_school(self) -> None:
        self.client.force_login(self.sam)

        self.assertContains(self.client.get(reverse("clarion:inbox")), 'class="brand"')

    def test_pages_cost_the_same_queries_however_much_there_is(self) -> None:
        self.fill(people=1)
        few = self.queries()

        self.fill(people=4)

        assert self.queries() == few

    def queries(self) -> dict[str, int]:
        """Of each page and role, how many it takes."""
        pages = [(user, "home") for user in (self.ada, self.sam, self.grace)] + [(self.ada, "send")]
        return {f"{page} of {user}": self.queries_of(user, page) for user, page in pages}

    def queries_of(self, user: User, page: str) -> int:
        self.client.force_login(user)
        ContentType.objects.clear_cache()
        with CaptureQueriesContext(connection) as captured:
            assert self.client.get(reverse(page)).status_code == 200
        return len(captured)

    def fill(self, people: int) -> None:
        """More students, in Ada's class and in Grace's care, and more notices for everybody."""
        for number in range(people):
            child = self.person(f"child-{people}-{number}", "student")
            self.upper.students.add(child)
            Guardianship.objects.create(guardian=self.grace, student=child)
            Guardianship.objects.create(
                guardian=self.person(f"x-{child}", "guardian"), student=self.sam
            )
            for role in User.Role.values:
                self.send(self.ada, to_kind="role", to=role)
                self.send(self.tom, to_kind="role", to=role)
