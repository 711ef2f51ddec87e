from __future__ import annotations

from pathlib import Path

import pytest
from some_patients import copy_first
from workbench import FAST, Bench

from limbeck.cli import main


@pytest.fixture(scope="session")
def made(five_patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Four phantoms, their cohort, a teacher, a FLAIR student of its width, and a twice as wide network."""
    bench = Bench(tmp_path_factory.mktemp("bad-input"))
    copy_first(five_patients, 4, bench.phantoms)
    reading = ["import", str(bench.phantoms), "--spacing", "6", "--workers", "1", "--out", str(bench.cohort)]
    assert main(reading) == 0
    for run, words in (
        (bench.teacher, ["all"]),
        (bench.student, ["flair"]),
        (bench.wide, ["all", "--width", "16"]),
    ):
        out = bench.root / f"of-{run.name}"
        training = ["train", "supervised", "--data", str(bench.cohort), "--out", str(out), "--steps", "1", *FAST]
        assert main([*training, "--subset", *words]) == 0
        run.parent.mkdir(exist_ok=True)
        next(out.iterdir()).rename(run)
        out.rmdir()
    return bench


@pytest.fixture
def bench(made: Bench, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(made.root, capsys)
