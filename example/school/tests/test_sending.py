"""Who may send, who gets it, and what is said when something is amiss."""
# ruff: noqa: E501 - a fault and its sentence stand on one line

from __future__ import annotations

from django.urls import reverse

from clarion import inbox
from clarion.models import Event
from school.models import Notice, User
from school.tests.base import SchoolTestCase


class Permission(SchoolTestCase):
    def test_students_and_guardians_may_not_send(self) -> None:
        for user in (self.sam, self.grace):
            with self.subTest(user):
                answer = self.send(user, to_kind="everyone")
                self.assertContains(answer, "Only teachers can send notices.", status_code=403)
                self.assertNotContains(self.client.get(reverse("home")), reverse("send"))
        assert not Event.objects.exists()

    def test_staff_may_send_whatever_their_role(self) -> None:
        office = self.person("office", "guardian", is_staff=True)

        self.assertRedirects(self.send(office, to_kind="person", to="sam"), reverse("send"))
        assert self.who_got_it() == {"sam"}


class Reach(SchoolTestCase):
    def test_a_person_gets_it_and_nobody_else(self) -> None:
        answer = self.send(
            self.ada,
            to_kind="person",
            to="sam",
            title="Well done",
            body="Nice poster.",
            level="success",
        )

        self.assertRedirects(answer, reverse("send"), fetch_redirect_response=False)
        self.assertContains(self.client.get(reverse("send")), "“Well done” went to Sam Test.")
        assert self.who_got_it() == {"sam"}
        [item] = inbox.page(self.sam).items
        assert (item["title"], item["body"], item["level"]) == (
            "Well done",
            "Nice poster.",
            "success",
        )
        assert item["actor"] == {"name": "Ada Test"}

    def test_a_role_reaches_all_of_it_but_the_sender(self) -> None:
        for role, people in {
            "student": {"sam", "mia", "ben"},
            "guardian": {"grace", "hans"},
            "teachers": {"tom"},  # the plural will do
        }.items():
            with self.subTest(role):
                self.send(self.ada, to_kind="role", to=role)
                assert self.who_got_it() == people
                Event.objects.all().delete()

    def test_a_class_reaches_its_students_or_their_guardians(self) -> None:
        for who, people in {"students": {"mia", "ben"}, "guardians": {"grace", "hans"}}.items():
            with self.subTest(who):
                self.send(self.ada, to_kind="class", to=f"{who}:{self.lower.pk}")
                assert self.who_got_it() == people
                Event.objects.all().delete()

    def test_a_guardian_with_two_children_in_a_class_gets_it_once(self) -> None:
        self.lower.students.add(self.sam)

        self.send(self.ada, to_kind="class", to=f"guardians:{self.lower.pk}")

        assert self.who_got_it() == {"grace", "hans"}

    def test_an_announcement_is_one_event_and_in_every_inbox_but_the_senders(self) -> None:
        self.send(self.ada, to_kind="everyone", title="No school on Friday")

        assert Event.objects.get().is_public
        for user in User.objects.all():
            with self.subTest(user):
                expected = [] if user == self.ada else ["No school on Friday"]
                assert [item["title"] for item in inbox.page(user).items] == expected

    def test_everyone_one_by_one_is_a_row_for_each_but_the_sender(self) -> None:
        self.send(self.ada, to_kind="everyone", way="inbox")

        assert self.who_got_it() == {"tom", "sam", "mia", "ben", "grace", "hans"}

    def test_people_who_left_get_nothing(self) -> None:
        User.objects.filter(pk=self.mia.pk).update(is_active=False)

        self.send(self.ada, to_kind="role", to="student")

        assert self.who_got_it() == {"sam", "ben"}


class Faults(SchoolTestCase):
    def test_each_fault_is_told_in_a_sentence_and_nothing_is_sent(self) -> None:
        User.objects.filter(pk=self.ben.pk).update(is_active=False)
        person = {"to_kind": "person", "to": "sam"}
        for given, sentence in [
            ({"to_kind": ""}, "Choose who gets it: a person, a role, a class or everyone."),
            ({"to_kind": "planet"}, "“planet” is not one of person, role, class and everyone."),
            ({"to_kind": "person"}, "Say who gets it: type a user name, such as sam."),
            ({"to_kind": "person", "to": "smam"}, "Nobody here has the user name “smam”. Did you mean “sam”?"),
            ({"to_kind": "person", "to": "ada"}, "That is you. Choose somebody else."),
            ({"to_kind": "person", "to": "ben"}, "The account of Ben Test is switched off, so nobody would read it."),
            ({"to_kind": "role"}, "Choose a role: students, teachers or guardians."),
            ({"to_kind": "role", "to": "pirates"}, "“pirate” is not a role: student, teacher or guardian."),
            ({"to_kind": "class"}, "Choose a class."),
            ({"to_kind": "class", "to": "students:999"}, "There is no such class any more. Choose another one."),
            ({"to_kind": "everyone", "way": "pigeon"}, "“pigeon” is neither “announcement” nor “inbox”."),
            ({**person, "title": "   "}, "Give your notice a title."),
            ({**person, "title": "x" * 121}, "The title has 121 characters; 120 is the most."),
            ({**person, "body": "x" * 1001}, "The message has 1001 characters; 1000 is the most."),
            ({**person, "level": "loud"}, "“loud” is not one of info, success, warning, error, critical."),
            ({**person, "link": "javascript:alert(1)"}, "A link starts with https://, or with / for a page of this site."),
            ({**person, "link": "//elsewhere.example"}, "A link starts with https://, or with / for a page of this site."),
            ({**person, "link": "https://[broken"}, "This link is not a valid address."),
        ]:  # fmt: skip
            with self.subTest(sentence):
                answer = self.send(self.ada, **given)
                self.assertContains(answer, sentence, status_code=400)
        assert not Event.objects.exists()
        assert not Notice.objects.exists()

    def test_a_fault_keeps_what_was_typed(self) -> None:
        answer = self.send(
            self.ada, to_kind="person", to="nobody", title="Hello <b>", body="Long text"
        )

        self.assertContains(answer, 'value="Hello &lt;b&gt;"', status_code=400)
        self.assertContains(answer, "Long text", status_code=400)

    def test_the_longest_notice_is_accepted_in_any_script(self) -> None:
        self.send(self.ada, to_kind="person", to="sam", title="🎉" * 120, body="🎉" * 1000)

        assert self.who_got_it() == {"sam"}

    def test_the_address_can_fill_in_the_form(self) -> None:
        self.client.force_login(self.ada)

        page = self.client.get(reverse("send"), {"to_kind": "person", "to_person": "sam"})

        self.assertContains(page, 'value="sam"')


class Notices(SchoolTestCase):
    def posted(self, **fields: str) -> Notice:
        self.send(self.ada, **({"to_kind": "person", "to": "sam"} | fields))
        return Notice.objects.get()

    def open(self, reader: User, notice: Notice) -> int:
        self.client.force_login(reader)
        return self.client.get(notice.get_absolute_url()).status_code

    def test_opening_a_notice_is_reading_it(self) -> None:
        notice = self.posted()
        assert inbox.counts(self.sam).unread == 1

        assert self.open(self.sam, notice) == 200

        assert inbox.counts(self.sam).unread == 0

    def test_a_notice_is_for_those_who_got_it_and_its_author(self) -> None:
        notice = self.posted()

        assert self.open(self.ada, notice) == 200
        for other in (self.tom, self.mia, self.grace):
            assert self.open(other, notice) == 404

    def test_an_announcement_is_for_everybody_also_before_it_is_in_their_inbox(self) -> None:
        notice = self.posted(to_kind="everyone", to="")

        assert self.open(self.mia, notice) == 200
        assert inbox.counts(self.mia).unread == 0

    def test_a_link_becomes_a_button_of_the_notification(self) -> None:
        notice = self.posted(link="https://museum.example/")

        [item] = inbox.page(self.sam).items
        assert item["url"] == notice.get_absolute_url()
        assert item["actions"] == [
            {"label": "Open link", "url": "https://museum.example/", "method": "GET"}
        ]

    def test_the_author_sees_how_many_read_it(self) -> None:
        notice = self.posted(to_kind="role", to="student")
        self.open(self.mia, notice)

        self.client.force_login(self.ada)

        self.assertContains(self.client.get(reverse("home")), "read by 1 of 3")

    def test_the_author_sees_the_newest_first(self) -> None:
        for title in ("First", "Second"):
            self.send(self.ada, to_kind="person", to="sam", title=title)

        page = self.client.get(reverse("home"))

        assert [notice.title for notice in page.context["sent"]] == ["Second", "First"]

    def test_what_is_taken_back_is_gone_everywhere(self) -> None:
        notice = self.posted(to_kind="role", to="student")

        self.client.force_login(self.ada)
        with self.captureOnCommitCallbacks(execute=True):
            self.client.post(reverse("take-back", args=[notice.pk]))

        assert inbox.page(self.sam).items == []
        assert inbox.counts(self.sam).unread == 0
        assert self.open(self.sam, notice) == 404

    def test_only_the_author_can_take_it_back(self) -> None:
        notice = self.posted()

        for other, status in [(self.tom, 404), (self.sam, 403)]:
            self.client.force_login(other)
            answer = self.client.post(reverse("take-back", args=[notice.pk]))
            assert answer.status_code == status
        assert Notice.objects.exists()
