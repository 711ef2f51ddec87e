"""What Ray is told before it starts; that it works is tested by the command (test_benchmark_command)."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from limbeck.benchmark.ray import Ray


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings and variables with which Ray is started."""
    seen: dict[str, Any] = {}
    for name in ("RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED"):
        # So that what is set here goes when the test ends.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    started = SimpleNamespace(options=lambda **settings: None)
    fake = SimpleNamespace(init=lambda **settings: seen.update(settings, **os.environ), remote=lambda work: started)
    monkeypatch.setitem(sys.modules, "ray", fake)
    return seen


def test_a_cluster_of_our_own_reports_nothing_and_writes_no_secret_to_the_users_home(told) -> None:
    Ray(2, 1)
    assert told["address"] == "local" and told["include_dashboard"] is False
    assert told["RAY_USAGE_STATS_ENABLED"] == "0"
    assert len(told["RAY_AUTH_TOKEN"]) == 64


def test_a_secret_of_the_users_and_that_of_a_cluster_that_runs_are_left_alone(told, monkeypatch) -> None:
    Ray(2, 1, "auto")
    assert told["address"] == "auto" and "RAY_AUTH_TOKEN" not in told
    monkeypatch.setenv("RAY_AUTH_TOKEN", "theirs")
    Ray(2, 1)
    assert told["RAY_AUTH_TOKEN"] == "theirs"
