"""Settings and start-up checks: what is wrong is said, where, and what to do about it."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from clarion import checks
from clarion.conf import load, settings


def ids(deploy: bool = False) -> set[str]:
    found = run_checks(tags=["clarion"], include_deployment_checks=deploy)
    assert all(message.hint for message in found)
    return {message.id for message in found}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "must be a dict"),
        ({"HEARTBEET": 3}, "Did you mean 'HEARTBEAT'"),
        ({"qqq": 3}, "Known keys: "),
        ({"HEARTBEAT": "3"}, "of type float"),
        ({"HEARTBEAT": 0}, "above zero"),
        ({"PAGE_SIZE": 2.5}, "of type int"),
        ({"PAGE_SIZE": True}, "of type int"),
        ({"PUBLIC_ANONYMOUS": 1}, "of type bool"),
        ({"ALLOWED_ORIGINS": "https://x"}, "of type list"),
        ({"BROKER": 3}, "of type str"),
    ],
)
def test_a_wrong_setting_never_gets_past_start_up(given, says):
    with pytest.raises(ImproperlyConfigured, match=says):
        load(given)
    with override_settings(CLARION=given):
        assert "clarion.E001" in ids()


def test_settings_have_defaults_and_follow_overrides():
    assert settings.PAGE_SIZE == 20
    with override_settings(CLARION={"PAGE_SIZE": 5, "INLINE_LIMIT": 0, "HEARTBEAT": 30}):
        assert (settings.PAGE_SIZE, settings.INLINE_LIMIT, settings.HEARTBEAT) == (5, 0, 30)
    assert settings.PAGE_SIZE == 20


def test_a_correct_site_is_silent():
    assert ids() == set()


@pytest.mark.parametrize("runner", ["celry", "django.utils.timezone.now"])
def test_an_unknown_runner_is_an_error(runner):
    with override_settings(CLARION={"RUNNER": runner}):
        assert "clarion.E002" in ids()


@pytest.mark.parametrize("broker", ["memry", "no.such.Broker"])
def test_an_unknown_broker_is_an_error(broker):
    with override_settings(CLARION={"BROKER": broker}):
        assert "clarion.E003" in ids()


@override_settings(USE_TZ=False)
def test_time_zones_are_needed():
    assert "clarion.E005" in ids()


@pytest.mark.parametrize(
    ("hosts", "warned"),
    [
        ([("localhost", 6379)], True),
        (["redis://localhost"], True),
        ([{"address": "redis://localhost"}], True),
        ([{"address": "redis://localhost", "socket_timeout": None}], False),
    ],
)
def test_a_redis_layer_that_would_lose_idle_sockets_is_warned_of(hosts, warned, monkeypatch):
    monkeypatch.setattr(checks, "_redis_major", lambda: 8)
    layer = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": hosts}}
    with override_settings(CHANNEL_LAYERS={"default": layer}):
        found = {message.id for message in checks.check_channel_layers()}
    assert ("clarion.W001" in found) is warned


def test_sqlite_without_its_log_and_write_lock_is_warned_of(monkeypatch):
    from django.db import connection

    if connection.vendor != "sqlite":
        return
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    assert {"clarion.W002", "clarion.W003"} <= ids()


def test_development_parts_are_flagged_in_production():
    assert not {"clarion.W004", "clarion.W005"} & ids()
    with override_settings(CLARION={"BROKER": "memory", "RUNNER": "embedded"}):
        assert {"clarion.W004", "clarion.W005"} <= ids(deploy=True)


@override_settings(CLARION={"ALLOWED_ORIGINS": ["https://*.example.com"]})
def test_wildcard_origins_are_flagged_in_production():
    assert "clarion.W006" in ids(deploy=True)
