"""The cache folder lies where the user says, and a home that cannot be written to does not matter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from limbeck import cache


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LIMBECK_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, "~/.cache/limbeck"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/limbeck"),
        ({"XDG_CACHE_HOME": "not/absolute"}, "~/.cache/limbeck"),
        ({"XDG_CACHE_HOME": "/caches", "LIMBECK_HOME": "/mine"}, "/mine"),
    ],
)
def test_the_folder_is_the_one_named_else_the_users_cache(variables, place, monkeypatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.folder() == Path(place).expanduser()


def test_matplotlib_gets_a_folder_in_it_for_as_long_as_a_command_lasts(tmp_path) -> None:
    with cache.lent_to_matplotlib():
        assert os.environ["MPLCONFIGDIR"] == str(tmp_path / ".cache" / "limbeck" / "matplotlib")
    assert "MPLCONFIGDIR" not in os.environ
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_the_user_named_for_matplotlib_stays(monkeypatch) -> None:
    monkeypatch.setenv("MPLCONFIGDIR", "/chosen")
    with cache.lent_to_matplotlib():
        assert os.environ["MPLCONFIGDIR"] == "/chosen"
    assert os.environ["MPLCONFIGDIR"] == "/chosen"


@pytest.mark.parametrize("home", ["file", "nowhere"])
def test_without_a_usable_home_it_gets_a_temporary_folder_that_goes(home, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file") if home == "file" else "~")
    with cache.lent_to_matplotlib():
        lent = Path(os.environ["MPLCONFIGDIR"])
        assert lent.is_dir() and lent.name.startswith("limbeck-")
        (lent / "fonts").touch()
    assert not lent.exists()
