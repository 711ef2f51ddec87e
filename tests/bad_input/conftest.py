from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workbench import FAST, Bench

from limbeck.cli import main


@pytest.fixture(scope="session")
def made(five_patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Four phantoms, their cohort, a teacher, a FLAIR student of its width, and a twice as wide network."""
    bench = Bench(tmp_path_factory.mktemp("bad-input"))
    for case in sorted(path for path in five_patients.iterdir() if path.is_dir())[:4]:
        shutil.copytree(case, bench.phantoms / case.name)
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
