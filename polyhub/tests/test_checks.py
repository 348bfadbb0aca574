from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.core.management.base import ALL_CHECKS
from pytest_django.fixtures import Settings

from polyhub import checks
from polyhub.management.commands import up


def ids(found: list[CheckMessage]) -> set[str]:
    return {str(message.id) for message in found}


@pytest.mark.parametrize(
    "check",
    [
        checks.live_trading_has_a_vault,
        checks.clusters_are_safe,
        checks.processes_share_state,
        checks.secrets_are_set,
        checks.demo_is_not_live,
        checks.venue_is_known,
        checks.debug_is_not_live,
    ],
)
def test_the_settings_as_shipped_pass(check: Callable[..., list[CheckMessage]]) -> None:
    assert check() == []


def test_live_trading_at_the_real_venue_needs_the_signers_public_key(settings: Settings, tmp_path: Path) -> None:
    settings.VENUE, settings.LIVE_TRADING = "polymarket", True
    settings.SIGNER_PUBLIC_KEY_FILE = tmp_path / "public.key"
    assert ids(checks.live_trading_has_a_vault()) == {"polyhub.E001"}
    settings.SIGNER_PUBLIC_KEY_FILE.write_text("00")
    assert checks.live_trading_has_a_vault() == []


def test_without_live_trading_no_vault_is_needed(settings: Settings, tmp_path: Path) -> None:
    settings.VENUE, settings.LIVE_TRADING = "polymarket", False
    settings.SIGNER_PUBLIC_KEY_FILE = tmp_path / "public.key"
    assert checks.live_trading_has_a_vault() == []


@pytest.mark.parametrize(
    "change",
    [
        {"retry": 300, "timeout": 300},
        {"retry": 899, "timeout": 300},
        {"timeout": None},
        {"queue_limit": 50},
        {"bulk": 10},
        {"catch_up": True},
        {"max_attempts": 0},
    ],
)
@pytest.mark.parametrize("cluster", ["jobs", "engines"])
def test_a_cluster_that_would_repeat_or_pile_up_tasks_is_refused(
    settings: Settings, cluster: str, change: dict[str, Any]
) -> None:
    safe = settings.Q_CLUSTER
    engines = safe["ALT_CLUSTERS"]["engines"]
    settings.Q_CLUSTER = (
        {**safe, **change, "ALT_CLUSTERS": {"engines": engines}}
        if cluster == "jobs"
        else {**safe, "ALT_CLUSTERS": {"engines": {**engines, **change}}}
    )
    found = checks.clusters_are_safe()
    assert ids(found) == {"polyhub.E002"}
    assert all(f'"{cluster}"' in message.msg for message in found)


def test_a_second_cluster_inherits_what_it_does_not_set(settings: Settings) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "catch_up": True, "ALT_CLUSTERS": {"extra": {}}}
    assert {message.msg for message in checks.clusters_are_safe()} == {
        'Q_CLUSTER "jobs": catch_up must be False.',
        'Q_CLUSTER "extra": catch_up must be False.',
    }


@pytest.mark.parametrize("backend", sorted(checks.PER_PROCESS_CACHES))
def test_a_cache_of_one_process_is_refused(settings: Settings, backend: str) -> None:
    settings.CACHES = {"default": {"BACKEND": backend}}
    assert ids(checks.processes_share_state()) == {"polyhub.E003"}


@pytest.mark.parametrize("backend", sorted(checks.PER_PROCESS_LAYERS | checks.LOSSY_LAYERS))
def test_a_channel_layer_that_misses_processes_is_refused(settings: Settings, backend: str) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend}}
    assert ids(checks.processes_share_state()) == {"polyhub.E004"}


# Django itself refuses an empty SECRET_KEY.
@pytest.mark.parametrize(("name", "value"), [("SECRET_KEY", "short"), ("FIELD_SECRET", "short"), ("FIELD_SECRET", "")])
def test_a_missing_secret_is_refused_outside_debug(settings: Settings, name: str, value: str) -> None:
    settings.DEBUG = False
    setattr(settings, name, value)
    assert ids(checks.secrets_are_set()) == {"polyhub.E005"}
    settings.DEBUG = True
    assert checks.secrets_are_set() == []


def test_demo_users_never_meet_the_real_venue(settings: Settings) -> None:
    settings.DEMO, settings.VENUE = True, "polymarket"
    assert ids(checks.demo_is_not_live()) == {"polyhub.E006"}


def test_a_venue_nobody_knows_is_not_taken_for_the_real_one(settings: Settings) -> None:
    settings.VENUE = "Sandbox"
    assert ids(checks.venue_is_known()) == {"polyhub.E007"}


def test_error_pages_with_everything_in_them_never_meet_the_real_venue(settings: Settings) -> None:
    settings.DEBUG, settings.VENUE = True, "polymarket"
    assert ids(checks.debug_is_not_live()) == {"polyhub.E008"}


def test_hub_up_runs_every_check() -> None:
    # A list would be read as tags, and none is called "__all__".
    assert up.Command.requires_system_checks == ALL_CHECKS
