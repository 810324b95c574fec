"""The pages of the site, and a door through which a test has it send something."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

import clarion
from tests.e2e.notifications import Note

VERBS = {"announce": clarion.announce, "notify": clarion.notify, "toast": clarion.toast}


def home(request: HttpRequest) -> HttpResponse:
    """?lang=ar writes from right to left; ?badge=, ?toasts= and ?transports= go to the bell."""
    options = {name: request.GET.get(name, "") for name in ("toasts", "transports", "badge")}
    with translation.override(request.GET.get("lang", "en")):
        return render(request, "e2e/home.html", {"options": options})


def reading(request: HttpRequest) -> HttpResponse:
    return render(request, "e2e/home.html", {"title": "Where a notification leads"})


@csrf_exempt
@require_POST
def enrol(request: HttpRequest) -> HttpResponse:
    """{"name": "alice1"}: somebody with this name is signed in, made if need be."""
    name = json.loads(request.body)["name"]
    user, _ = get_user_model().objects.get_or_create(
        username=name, defaults={"first_name": name.title()}
    )
    login(request, user)
    return HttpResponse("ok")


@csrf_exempt
@require_POST
def tell(request: HttpRequest) -> HttpResponse:
    """{"verb": "notify", "to": ["alice"], "times": 3, ...fields of Note}"""
    given = json.loads(request.body)
    verb, times = given.pop("verb", "notify"), given.pop("times", 1)
    options = _options(given)
    for number in range(times):
        fields = {**given, "title": given["title"].replace("#", str(number + 1))}
        _send(verb, fields, options)
    return HttpResponse("ok")


def _options(given: dict[str, Any]) -> dict[str, Any]:
    users = get_user_model().objects
    options = {name: given.pop(name) for name in ("collapse", "key") if name in given}
    if "actor" in given:
        options["actor"] = users.get(username=given.pop("actor"))
    if "to" in given:
        options["to"] = users.filter(username__in=given.pop("to"))
    return options


def _send(verb: str, fields: dict[str, Any], options: dict[str, Any]) -> None:
    if verb == "toast":
        for user in options["to"]:
            clarion.toast(user, fields.pop("title"), **fields)
    else:
        level = fields.pop("level", None)
        VERBS[verb](Note(**fields), level=level, **options)


@require_POST
def done(request: HttpRequest) -> HttpResponse:
    """What an action's button posts to; with its CSRF check."""
    return HttpResponse("done")
