"""Who gets what: one pure function, first match wins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion import notify, preferences
from clarion.decisions import Known, decide
from clarion.exceptions import InvalidPreference
from clarion.models import Event, Preference
from clarion.routes import MODES, Route
from tests.outward import site

EVENT = Event(type="grade.posted", category="grades")
EMAIL = Route(channel="email")

values = st.sampled_from(MODES)
choices = st.dictionaries(
    st.tuples(
        st.sampled_from(["type:grade.posted", "category:grades", "category:other", "*"]),
        st.sampled_from(["email", "sms"]),
    ),
    values,
)
people = st.builds(
    Known,
    is_active=st.booleans(),
    is_actor=st.booleans(),
    choices=choices,
    stance=st.sampled_from(["", "follow", "mute"]),
)


def decided(required: bool = False, default: str = "instant", **known: object) -> tuple[bool, str]:
    route = Route(channel="email", default=default)
    decision = decide(EVENT, route, Known(**known), required=required)  # type: ignore[arg-type]
    return decision.send, decision.reason


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, (True, "default")),
        ({"is_active": False, "required": True}, (False, "the account is not active")),
        ({"is_actor": True}, (False, "did it themselves")),
        ({"required": True, "choices": {("*", "email"): "off"}}, (True, "required")),
        ({"choices": {("*", "email"): "off", ("type:grade.posted", "email"): "instant"}},
         (False, "email is switched off")),
        ({"stance": "mute", "choices": {("type:grade.posted", "email"): "instant"}},
         (False, "has muted what it is about")),
        ({"stance": "follow", "default": "off"}, (True, "follows what it is about")),
        ({"stance": "follow", "choices": {("category:grades", "email"): "never"}},
         (False, "unsubscribed from category:grades")),
        ({"choices": {("category:grades", "email"): "never",
                      ("type:grade.posted", "email"): "instant"}},
         (False, "unsubscribed from category:grades")),
        ({"required": True, "choices": {("*", "email"): "never"}}, (True, "required")),
        ({"stance": "follow", "choices": {("category:grades", "email"): "off"}},
         (True, "follows what it is about")),
        ({"choices": {("category:grades", "email"): "off",
                      ("type:grade.posted", "email"): "digest"}},
         (True, "type:grade.posted is digest")),
        ({"choices": {("category:grades", "sms"): "off"}}, (True, "default")),
        ({"default": "off"}, (False, "default: off")),
    ],
)  # fmt: skip
def test_the_first_match_wins(known, expected):
    assert decided(**known) == expected


@given(people, values)
def test_nobody_gets_what_they_switched_off(known, default):
    decision = decide(EVENT, Route(channel="email", default=default), known, required=False)

    if known.choices.get(("*", "email")) == "off" or known.stance == "mute":
        assert not decision.send


@given(people)
def test_a_required_type_reaches_everybody_who_can_be_reached(known):
    decision = decide(EVENT, EMAIL, known, required=True)

    assert decision.send == (known.is_active and not known.is_actor)


@given(people, values)
def test_every_decision_has_a_reason_and_a_mode(known, default):
    decision = decide(EVENT, Route(channel="email", default=default), known, required=False)

    assert decision.reason
    assert decision.mode in MODES or not decision.send


@given(people, values)
def test_choices_for_other_channels_change_nothing(known, default):
    route = Route(channel="email", default=default)
    mine = {where: value for where, value in known.choices.items() if where[1] == "email"}
    alone = Known(
        is_active=known.is_active, is_actor=known.is_actor, choices=mine, stance=known.stance
    )

    assert decide(EVENT, route, known, required=False) == decide(
        EVENT, route, alone, required=False
    )


BAD = [
    ({"scope": "grades"}, "scope"),
    ({"scope": "type:"}, "scope"),
    ({"value": "sometimes"}, "value"),
    ({"channel": "emial"}, "Did you mean 'email'"),
    ({"channel": "inbox", "value": "digest"}, "no digest"),
]


@pytest.mark.parametrize(("wrong", "says"), BAD)
def test_a_choice_that_makes_no_sense_is_refused(alice, wrong, says):
    given = {"scope": "category:grades", "value": "off", "channel": "email", **wrong}

    with site(), pytest.raises(InvalidPreference, match=says):
        preferences.choose(alice, **given)

    assert not Preference.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"zone": "Mars/Olympus"}, "IANA"),
        ({"quiet": [{"start": "25:00", "end": "07:00"}]}, "list of windows"),
        ({"quiet": "22-7"}, "list of windows"),
        ({"quiet": [{"start": "22:00", "end": "07:00", "days": [7]}]}, "list of windows"),
        ({"allowed": {"fax": []}}, "not configured"),
        ({"digest": "yearly"}, "hourly"),
        ({"digest_day": 7}, "weekday"),
        ({"paused_until": "tomorrow"}, "time with a zone"),
        ({"paused": True}, "unknown"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(alice, wrong, says):
    with site(), pytest.raises(InvalidPreference, match=says):
        preferences.set_schedule(alice, **wrong)


@pytest.mark.django_db(transaction=True)
def test_a_muted_target_is_silent_in_the_inbox_too(alice, bob):
    preferences.mute(alice, bob)

    notify("About Bob", to=alice, target=bob)
    notify("About nobody", to=alice)

    assert [row.event.text for row in alice.clarion_notifications.all()] == ["About nobody"]
