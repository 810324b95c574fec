"""What a teacher fills in to send a notice, and the plain sentences that say what is amiss."""

from __future__ import annotations

import difflib
import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db.models import TextChoices
from django.http import QueryDict

from clarion import EVERYONE, Audience
from clarion.audiences import PUBLIC
from clarion.exceptions import InvalidNotification
from school.models import Notice, SchoolClass, User
from school.sending import Addressees, send


class Kind(TextChoices):
    """Whom a notice can go to."""

    PERSON = "person", "One person"
    ROLE = "role", "A role"
    CLASS = "class", "A class"
    EVERYONE = "everyone", "Everyone"


_LOCAL = re.compile(r"/(?![/\\])[^\s\\]*")  # browsers take // and /\ for another site
_LINK_STARTS = "A link starts with https://, or with / for a page of this site."

ROLES = [(role.value, f"All {role.value}s") for role in User.Role]
WAYS = [
    (
        "announcement",
        "As an announcement: on every open page at once, in each inbox from its next visit",
    ),
    ("inbox", "One by one: into every inbox right now"),
]


def _asking(sentence: str, **more: str) -> dict[str, str]:
    return {"required": sentence, **more}


class SendForm(forms.Form):
    to_kind = forms.ChoiceField(
        label="Who gets it?",
        choices=Kind,
        initial=Kind.PERSON,
        widget=forms.RadioSelect,
        error_messages=_asking(
            "Choose who gets it: a person, a role, a class or everyone.",
            invalid_choice="“%(value)s” is not one of person, role, class and everyone.",
        ),
    )
    to_person = forms.CharField(
        label="User name",
        required=False,
        max_length=150,
        widget=forms.TextInput(
            attrs={"list": "people", "autocomplete": "off", "autocapitalize": "none"}
        ),
        error_messages={"max_length": "A user name has at most %(limit_value)d characters."},
    )
    to_role = forms.ChoiceField(
        label="Role",
        choices=ROLES,
        required=False,
        error_messages={
            "invalid_choice": "“%(value)s” is not a role: student, teacher or guardian."
        },
    )
    to_class = forms.ChoiceField(
        label="Class",
        required=False,
        error_messages={"invalid_choice": "There is no such class any more. Choose another one."},
    )
    way = forms.ChoiceField(
        label="How?",
        choices=WAYS,
        initial="announcement",
        widget=forms.RadioSelect,
        required=False,
        error_messages={"invalid_choice": "“%(value)s” is neither “announcement” nor “inbox”."},
    )
    title = forms.CharField(
        label="Title",
        max_length=120,
        error_messages=_asking(
            "Give your notice a title.",
            max_length="The title has %(show_value)d characters; %(limit_value)d is the most.",
        ),
    )
    body = forms.CharField(
        label="Message",
        max_length=1000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        error_messages={
            "max_length": "The message has %(show_value)d characters; %(limit_value)d is the most."
        },
    )
    level = forms.ChoiceField(
        label="What is it?",
        choices=Notice.Level,
        initial=Notice.Level.INFO,
        required=False,
        widget=forms.RadioSelect,
        error_messages={
            "invalid_choice": f"“%(value)s” is not one of {', '.join(Notice.Level.values)}."
        },
    )
    link = forms.CharField(
        label="Link",
        max_length=300,
        required=False,
        help_text=f"Becomes a button. {_LINK_STARTS}",
        error_messages={"max_length": "A link can have at most %(limit_value)d characters."},
    )

    def __init__(self, data: QueryDict | None = None, *, author: User, **options: Any) -> None:
        super().__init__(_with_alias(data), **options)
        self.author = author
        self.fields["to_class"].choices = _class_choices()

    def clean_level(self) -> str:
        return self.cleaned_data["level"] or Notice.Level.INFO

    def clean_link(self) -> str:
        link = self.cleaned_data["link"]
        if link and not _LOCAL.fullmatch(link):
            if not link.startswith(("https://", "http://")):
                raise ValidationError(_LINK_STARTS)
            URLValidator(["https", "http"], message="This link is not a valid address.")(link)
        return link

    def clean(self) -> None:
        kind = self.cleaned_data.get("to_kind")
        if kind and f"to_{kind}" not in self.errors:
            self.cleaned_data["to"] = getattr(self, f"_to_{kind}")()

    def send(self) -> Notice | None:
        """Post it. Returns None, with the reason among the errors, if Clarion refuses."""
        given = self.cleaned_data
        fields = {name: given[name] for name in ("title", "body", "link", "level")}
        try:
            return send(self.author, given["to"], **fields)
        except InvalidNotification as error:
            self.add_error(None, str(error))
            return None

    def _to_person(self) -> Addressees | None:
        name = self.cleaned_data["to_person"].removeprefix("@")
        found = User.objects.filter(username=name.lower()).first()
        fault = _fault(name, found, self.author)
        if fault or found is None:
            self.add_error("to_person", fault)
            return None
        return Addressees(found, str(found))

    def _to_role(self) -> Addressees | None:
        role = self.cleaned_data["to_role"]
        if not role:
            self.add_error("to_role", "Choose a role: students, teachers or guardians.")
            return None
        return Addressees(f"{role}s", f"all {role}s")

    def _to_class(self) -> Addressees | None:
        who, _, class_id = self.cleaned_data["to_class"].partition(":")
        if not class_id:
            self.add_error("to_class", "Choose a class.")
            return None
        label = dict(_flat(self.fields["to_class"].choices))[f"{who}:{class_id}"]
        return Addressees(Audience(who, class_id=int(class_id)), f"the {label.lower()}")

    def _to_everyone(self) -> Addressees:
        one_by_one = self.cleaned_data.get("way") == "inbox"
        return Addressees(EVERYONE if one_by_one else PUBLIC, "everyone")


def _with_alias(data: QueryDict | None) -> QueryDict | None:
    """Scripts may say `to`, whatever the kind; the page has a field for each."""
    if not data or "to" not in data:
        return data
    data = data.copy()
    kind, to = data.get("to_kind"), data["to"]
    data[f"to_{kind}"] = to.removesuffix("s") if kind == Kind.ROLE else to
    return data


def _class_choices() -> list[tuple[str, Any]]:
    groups: list[tuple[str, Any]] = [("", "Choose a class")]
    for pk, name in SchoolClass.objects.values_list("pk", "name"):
        whom = [
            (f"students:{pk}", f"Students of {name}"),
            (f"guardians:{pk}", f"Guardians of {name}"),
        ]
        groups.append((name, whom))
    return groups


def _flat(choices: Any) -> list[tuple[str, str]]:
    return [option for _, group in choices if isinstance(group, list) for option in group]


def _fault(name: str, found: User | None, author: User) -> str:
    """Why this person can't be written to; "" if they can."""
    if not name:
        return "Say who gets it: type a user name, such as sam."
    if found is None:
        return f"Nobody here has the user name “{name}”.{_suggestion(name)}"
    if found == author:
        return "That is you. Choose somebody else."
    if not found.is_active:
        return f"The account of {found} is switched off, so nobody would read it."
    return ""


def _suggestion(name: str) -> str:
    names = User.objects.filter(is_active=True).values_list("username", flat=True)[:5000]
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return f" Did you mean “{close[0]}”?" if close else ""
