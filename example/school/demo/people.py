"""A school of believable people, the same ones every time: teachers, students, their guardians."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from school.models import Guardianship, SchoolClass, User, hue_of

PASSWORD = "clarion"  # noqa: S105 - it is written on the login page
CLASS_SIZE = 20
ENROLLED = timedelta(days=400)  # ago; nobody gets announcements from before their time


@dataclass(frozen=True)
class Account:
    """Somebody a visitor can sign in as."""

    username: str
    name: str
    says: str  # who that is, on the login page

    @property
    def hue(self) -> int:
        return hue_of(self.username)

    @property
    def initials(self) -> str:
        return "".join(name[0] for name in self.name.split())


ACCOUNTS = [
    Account("ada", "Ada Lindqvist", "Teacher of class 7a"),
    Account("sam", "Sam Okafor", "Student in class 7a"),
    Account("grace", "Grace Okafor", "Guardian of Sam and Mia"),
    Account("principal", "Maya Brandt", "Head of the school"),
]

CLASSES = [("5a", "Room 11"), ("5b", "Room 12"), ("6a", "Room 14"), ("6b", "Room 15"),
           ("7a", "Room 21"), ("7b", "Room 22")]  # fmt: skip
TEACHERS = ["Jonas Keller", "Priya Raman", "Tomás Vidal", "Helen Whitmore", "Ada Lindqvist",
            "Kofi Mensah", "Ingrid Solberg", "Daniel Abara", "Noor Haddad", "Ruth Ashdown",
            "Marek Nowak", "Yuki Tanabe"]  # fmt: skip
YOUNG = ["Amelia", "Aaron", "Aisha", "Ben", "Bela", "Carla", "Caleb", "Chloe", "Dario", "Daisy",
         "Elias", "Ella", "Emil", "Esra", "Finn", "Freya", "Gina", "Hugo", "Hana", "Ida", "Ivan",
         "Jada", "Jakob", "Kira", "Karim", "Lara", "Leo", "Lina", "Luca", "Maja", "Malik",
         "Nico", "Nora", "Oskar", "Olivia", "Paul", "Petra", "Quinn", "Rosa", "Rafael", "Sana",
         "Simon", "Stella", "Tariq", "Thea", "Theo", "Uma", "Vera", "Viktor", "Wanda", "Xenia",
         "Yara", "Yusuf", "Zoe"]  # fmt: skip
GROWN = ["Alice", "Amir", "Beate", "Carlos", "Diana", "Dmitri", "Elena", "Erik", "Farah",
         "Frank", "Gloria", "Hassan", "Irene", "Jan", "Katrin", "Lars", "Maria", "Mehmet",
         "Nadia", "Olaf", "Paula", "Rahim", "Sofia", "Stefan", "Tanja", "Victor", "Wei",
         "Yvonne"]  # fmt: skip
FAMILIES = ["Abbott", "Adeyemi", "Aldana", "Bauer", "Becker", "Bianchi", "Castillo", "Chen",
            "Conti", "Dahl", "Demir", "Diallo", "Eriksen", "Farouk", "Fischer", "Garcia",
            "Greene", "Haas", "Hashimi", "Holm", "Ibrahim", "Ivanova", "Jansen", "Jovanovic",
            "Kaplan", "Khan", "Kowalski", "Larsen", "Lehmann", "Lopez", "Marino", "Meyer",
            "Moreau", "Nguyen", "Novak", "Olsen", "Ortiz", "Park", "Petrov", "Popescu",
            "Quist", "Rahman", "Reyes", "Richter", "Rossi", "Sato", "Schmidt", "Silva",
            "Singh", "Sorensen", "Stone", "Tahiri", "Torres", "Usman", "Vargas", "Vogel",
            "Walker", "Weber", "Wolff", "Yilmaz", "Zimmer"]  # fmt: skip


def seed_people() -> bool:
    """Make the school, all of it or nothing. Returns whether that was needed."""
    with transaction.atomic():
        if SchoolClass.objects.exists():
            return False
        _make_school()
    return True


def _make_school() -> None:
    teachers = _save([_teacher(name) for name in TEACHERS] + [_principal()])
    classes = SchoolClass.objects.bulk_create(
        SchoolClass(name=name, room=room, teacher=teacher)
        for (name, room), teacher in zip(CLASSES, teachers, strict=False)
    )
    students, families = _families(random.Random(7))  # noqa: S311 - the same ones
    students = _save(students)
    _seat(students, classes)
    guardians = _save([guardian for family in families for guardian in family.guardians])
    by_name = {user.username: user for user in [*students, *guardians]}
    Guardianship.objects.bulk_create(
        Guardianship(guardian=by_name[guardian.username], student=by_name[child.username])
        for family in families
        for guardian in family.guardians
        for child in family.children
    )


def _save(users: list[User]) -> list[User]:
    """One hash for all: they share a password that everybody is told anyway."""
    secret = make_password(PASSWORD)
    for user in users:
        user.password = secret
    return User.objects.bulk_create(users)


def _teacher(name: str) -> User:
    return _user(name, User.Role.TEACHER, "ada" if name.startswith("Ada ") else None)


def _principal() -> User:
    principal = _user("Maya Brandt", User.Role.TEACHER, "principal")
    principal.is_staff = principal.is_superuser = True
    return principal


def _user(name: str, role: User.Role, username: str | None = None) -> User:
    first, last = name.split(" ")
    username = username or f"{first}.{last}".lower().replace("á", "a")
    return User(
        username=username,
        first_name=first,
        last_name=last,
        email=f"{username}@school.example",
        role=role,
        date_joined=timezone.now() - ENROLLED,
    )


@dataclass(frozen=True)
class Family:
    children: list[User]
    guardians: list[User]


def _families(chance: random.Random) -> tuple[list[User], list[Family]]:
    """Families of one to three children until the classes are full; the first is Sam's."""
    okafor = Family(
        [_user("Sam Okafor", User.Role.STUDENT, "sam"), _user("Mia Okafor", User.Role.STUDENT)],
        [
            _user("Grace Okafor", User.Role.GUARDIAN, "grace"),
            _user("Emeka Okafor", User.Role.GUARDIAN),
        ],
    )
    families = [okafor]
    students = [*okafor.children]
    for young, grown in _names(chance):
        room = len(CLASSES) * CLASS_SIZE - len(students)
        if not room:
            break
        size = min(room, chance.choices([1, 2, 3], [60, 32, 8])[0])
        children = [_user(name, User.Role.STUDENT) for name in young[:size]]
        adults = [_user(name, User.Role.GUARDIAN) for name in grown[: chance.choice([1, 2, 2])]]
        families.append(Family(children, adults))
        students += children
    return students, families


def _names(chance: random.Random) -> Iterator[tuple[list[str], list[str]]]:
    """Each family name comes round twice, with other first names each time."""
    for start in (0, 1):
        families = chance.sample(FAMILIES, len(FAMILIES))
        for family in families:
            young = chance.sample(YOUNG[start::2], 3)
            grown = chance.sample(GROWN[start::2], 2)
            yield [f"{name} {family}" for name in young], [f"{name} {family}" for name in grown]


def _seat(students: list[User], classes: list[SchoolClass]) -> None:
    """Sam sits in 7a and Mia in 5b; siblings are spread, so that families know several classes."""
    places = {kept.name: [] for kept in classes}
    sam, mia, *others = students
    places["7a"].append(sam)
    places["5b"].append(mia)
    for number, student in enumerate(others):
        free = [name for name in places if len(places[name]) < CLASS_SIZE]
        places[free[number % len(free)]].append(student)
    for seated in classes:
        seated.students.set(places[seated.name])
