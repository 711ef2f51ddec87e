"""Data sets that are wrong: exit code 3, a line for every problem, nothing imported and nothing lost."""

from __future__ import annotations

import json
import shutil

import pytest
from workbench import (
    DATA,
    FAST,
    USAGE,
    contents,
    corrupt,
    cut,
    empty,
    four_dimensional,
    moved,
    truncated,
    unknown_label,
    with_nan,
)

from limbeck.cli import main


def test_a_missing_or_unknown_folder_is_data(bench, tmp_path) -> None:
    nowhere, empty = tmp_path / "nowhere", tmp_path / "empty"
    empty.mkdir()
    for command in (["inspect"], ["import", "--out", bench.root / "new"]):
        bench.refuses(DATA, command[0], nowhere, *command[1:], says=(str(nowhere), "no such folder"))
        bench.refuses(DATA, command[0], empty, *command[1:], says=(str(empty), "no known layout", "brats", "msd"))
    endless = tmp_path / ("x" * 300)
    bench.refuses(DATA, "inspect", endless, says=(str(endless), "File name too long", "check its name"))
    bench.refuses(DATA, "import", endless, "--out", bench.root / "new", says=(str(endless), "File name too long"))
    training = ["train", "supervised", "--subset", "flair", "--out", bench.root / "new"]
    bench.refuses(DATA, *training, "--data", nowhere, says=(str(nowhere), "limbeck import"))
    bench.refuses(DATA, *training, "--data", bench.phantoms, says=("cohort.json", "limbeck import"))
    few = ["--data", bench.cohort, "--folds", "9"]
    bench.refuses(DATA, *training, *few, says=("4 patients", "at least 9"))


SPOILT = [
    (truncated, "truncated"),
    (corrupt, "damaged gzip"),
    (with_nan, "NaN"),
    (cut, "40"),
    (moved, "affine"),
    (four_dimensional, "4-D"),
    (empty, "every voxel is 0"),
    (unknown_label, "unknown label 7"),
]


@pytest.mark.parametrize(("spoil", "found"), SPOILT, ids=lambda value: getattr(value, "__name__", value))
def test_a_bad_case_is_named_and_nothing_is_imported(spoil, found, bench, tmp_path) -> None:
    source = tmp_path / "source"
    shutil.copytree(bench.phantoms, source)
    bad = spoil(source / "BraTS2021_00002")
    before = contents(source)
    out = tmp_path / "cohort"
    bench.capsys.readouterr()
    words = ["import", str(source), "--spacing", "6", "--workers", "1", "--out", str(out)]
    assert main(words) == DATA
    header, *lines = bench.capsys.readouterr().err.splitlines()
    assert header.startswith(f"limbeck: {source}: ") and "nothing imported" in header
    assert lines and all(str(bad.parent) in line for line in lines)
    assert any(bad.name in line and found in line for line in lines), lines
    assert not (out / "cohort.json").exists()
    assert contents(source) == before
    # What inspect says first, import must not contradict.
    assert main(["inspect", str(source), "--json"]) == DATA
    findings = json.loads(bench.capsys.readouterr().out)["findings"]
    assert any(item["case"] == "BraTS2021_00002" and item["severity"] == "error" for item in findings)
    # The others are good, and can be had.
    assert main([*words, "--skip-bad"]) == 0
    shown = bench.capsys.readouterr()
    assert "3 cases" in shown.out and "1 left out as bad" in shown.out
    assert "limbeck: left out: BraTS2021_00002: " in shown.err


def test_every_problem_is_told_at_once(bench, tmp_path) -> None:
    source = tmp_path / "source"
    shutil.copytree(bench.phantoms, source)
    bad = [truncated(source / "BraTS2021_00001"), unknown_label(source / "BraTS2021_00003")]
    bench.capsys.readouterr()
    assert main(["import", str(source), "--spacing", "6", "--workers", "1", "--out", str(tmp_path / "cohort")]) == DATA
    lines = bench.capsys.readouterr().err.splitlines()[1:]
    assert len(lines) == 2
    assert all(str(path) in line for path, line in zip(bad, lines, strict=True))


def test_a_case_without_a_sequence_is_no_case_for_networks_that_need_it(bench, tmp_path) -> None:
    """It is imported, since others can use it; training that needs the sequence says that nobody has it."""
    source, cohort = tmp_path / "source", tmp_path / "cohort"
    shutil.copytree(bench.phantoms, source)
    for path in source.rglob("*_t1ce.nii.gz"):
        path.unlink()
    assert main(["import", str(source), "--spacing", "6", "--workers", "1", "--out", str(cohort)]) == 0
    assert "0 with all four sequences" in bench.capsys.readouterr().out
    words = ["train", "supervised", "--data", cohort, "--out", tmp_path / "runs", *FAST, "--subset"]
    bench.refuses(DATA, *words, "t1ce", says=("t1ce", "nothing to train on"))
    assert not (tmp_path / "runs").exists()


def test_an_import_does_not_touch_what_lies_there(bench) -> None:
    words = ["import", bench.phantoms, "--spacing", "6", "--workers", "1", "--out"]
    bench.refuses(USAGE, *words, bench.phantoms, says=("new folder",))
    bench.refuses(USAGE, *words, bench.flair, says=("is a file",))
    other = ["import", bench.phantoms, "--spacing", "5", "--workers", "1", "--out", bench.cohort]
    bench.refuses(USAGE, *other, says=("6", "5", "new folder"))
    bench.refuses(USAGE, *words, bench.root / "new", "--labels", "brats2017", says=("'brats2017'", "brats2018"))
    bench.refuses(USAGE, *words, bench.root / "new", "--layout", "brat", says=("'brat'", "did you mean 'brats'?"))


def test_scans_in_the_place_of_a_cohorts_cases_are_not_taken_for_an_import_that_was_stopped(bench, tmp_path) -> None:
    study = tmp_path / "study"
    shutil.copytree(bench.phantoms, study / "cases")
    before = contents(study)
    words = ["import", "--spacing", "6", "--workers", "1", "--out", study]
    bench.refuses(USAGE, *words, study / "cases", says=("BraTS2021_00001_flair.nii.gz: lies in", "new folder"))
    # Scans of the same names that lie elsewhere.
    bench.refuses(USAGE, *words, bench.phantoms, says=(f"{study}: holds cases/BraTS2021_00001 and is no cohort",))
    assert contents(study) == before
