"""Packs that were killed on the way leave nothing for good: the next pack of their name clears it away."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from heads import make_run

from limbeck.inference import packing
from limbeck.inference.packing import pack


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "flair")


def test_what_killed_packs_left_goes_when_a_new_one_stands(run, tmp_path) -> None:
    gone = [tmp_path / name for name in (".0123456789ab.tmp.model", ".ab0123456789.old.model")]
    others = [tmp_path / name for name in (".0123456789ab.tmp.model.2", ".0123456789ab.tmp.mod", ".model", "model-1")]
    for folder in (*gone, *others):
        (folder / "members").mkdir(parents=True)
    pack([run], tmp_path / "model")
    assert [folder.exists() for folder in gone] == [False, False]
    assert all(folder.is_dir() for folder in others)


def test_what_another_process_is_making_stays(run, tmp_path) -> None:
    folder = tmp_path / ".0123456789ab.tmp.model"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    pack([run], tmp_path / "model")
    assert folder.is_dir()
    os.close(descriptor)
    pack([run], tmp_path / "model", overwrite=True)
    assert not folder.exists()


def test_the_folder_in_the_making_is_held(run, tmp_path, monkeypatch) -> None:
    """Or another process would take it for one that a kill left."""
    seen = []

    def looked_at(folder: Path) -> None:
        with packing._at_work(folder) as alone:
            seen.append(alone)

    monkeypatch.setattr(packing, "read_pack", looked_at)
    pack([run], tmp_path / "model")
    assert seen[0] is False


def test_a_pack_fills_the_folder_that_one_stands_in(run, tmp_path, monkeypatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "model")
    assert pack([run], Path()).name == "model"
    assert (tmp_path / "model" / "model.json").is_file()
