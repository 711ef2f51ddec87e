"""Models and predictions that are wrong: exit codes 4, 2, 3 and 6, and what lies there is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import pytest
from workbench import DATA, FAST, MODEL, PARTIAL, USAGE, moved, truncated, with_nan

from limbeck.cli import main


def copied(run: Path, target: Path) -> Path:
    shutil.copytree(run, target)
    return target


def test_a_model_that_is_none_is_model(bench, tmp_path) -> None:
    mask = tmp_path / "mask.nii.gz"
    words = ["--flair", bench.flair, "-o", mask]
    bench.refuses(MODEL, "predict", tmp_path / "nowhere", *words, says=("nowhere", "does not exist"))
    bench.refuses(MODEL, "predict", bench.phantoms, *words, says=(str(bench.phantoms), "checkpoint.json"))
    table = ["--data", bench.cohort, "--out", tmp_path / "results.csv"]
    bench.refuses(MODEL, "evaluate", tmp_path / "nowhere", *table, says=("nowhere", "does not exist"))
    bench.refuses(MODEL, "evaluate", bench.phantoms, *table, says=(str(bench.phantoms), "DONE"))
    held = {"says": (str(bench.teacher.parent), "is no run, but holds", "give one of them, such as")}
    bench.refuses(MODEL, "evaluate", bench.teacher.parent, *table, **held)
    bench.refuses(MODEL, "predict", bench.teacher.parent, *words, **held)
    assert not mask.exists() and not (tmp_path / "results.csv").exists()


def damaged_weights(run: Path) -> str:
    for weights in run.rglob("weights-*"):
        raw = bytearray(weights.read_bytes())
        raw[-1] ^= 1
        weights.write_bytes(bytes(raw))
    return "checksum"


def truncated_weights(run: Path) -> str:
    for weights in run.rglob("weights-*"):
        weights.write_bytes(weights.read_bytes()[:100])
    return "damaged"


def lost_weights(run: Path) -> str:
    for weights in run.rglob("weights-*"):
        weights.unlink()
    return "missing"


def no_json(run: Path) -> str:
    for card in run.rglob("checkpoint.json"):
        card.write_text("{")
    return "checkpoint.json"


def _in_card(run: Path, **changes: object) -> None:
    for card in run.rglob("checkpoint.json"):
        card.write_text(json.dumps({**json.loads(card.read_text()), **changes}))


def unknown_format(run: Path) -> str:
    _in_card(run, format=99)
    return "another version"


def unknown_method(run: Path) -> str:
    _in_card(run, method="alchemy")
    return "'alchemy'"


def impossible_width(run: Path) -> str:
    _in_card(run, settings={"width": 9})
    return "width"


def other_width(run: Path) -> str:
    _in_card(run, settings={"width": 16})
    return "do not fit"


def path_outside(run: Path) -> str:
    _in_card(run, files={"../../weights-0.safetensors": "0"})
    return "not a plain file name"


@pytest.mark.parametrize(
    "spoil",
    [
        *(damaged_weights, truncated_weights, lost_weights, no_json, unknown_format),
        *(unknown_method, impossible_width, other_width, path_outside),
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_a_damaged_model_is_model(spoil, bench, tmp_path) -> None:
    run = copied(bench.student, tmp_path / "run")
    says = spoil(run)
    mask = tmp_path / "mask.nii.gz"
    bench.refuses(MODEL, "predict", run, "--flair", bench.flair, "-o", mask, says=(says,))
    assert not list(tmp_path.glob("mask*"))


def test_a_finished_run_that_was_damaged_since_is_not_taken_for_done(bench, tmp_path) -> None:
    words = ["train", "supervised", "--data", bench.cohort, "--out", tmp_path / "runs", "--steps", "1", *FAST]
    assert main([str(word) for word in (*words, "--subset", "t1")]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    # The generation before is whole, as it often is.
    card = json.loads((run / "best" / "checkpoint.json").read_text())
    ((name, digest),) = card["files"].items()
    shutil.copyfile(run / "best" / name, run / "best" / f"earlier-{name}")
    (run / "best" / "previous.json").write_text(json.dumps({**card, "files": {f"earlier-{name}": digest}}))
    (run / "best" / name).write_bytes(b"")
    bench.refuses(MODEL, *words, "--subset", "t1", says=("run", "move the folder away to train it again"))


def test_a_teacher_that_does_not_fit_is_model(bench, tmp_path) -> None:
    words = ["train", "gkd", "--data", bench.cohort, "--subset", "flair", "--out", bench.root / "new", *FAST]
    bench.refuses(MODEL, *words, "--teacher", tmp_path / "nowhere", says=("nowhere", "does not exist"))
    bench.refuses(MODEL, *words, "--teacher", bench.phantoms, says=(str(bench.phantoms), "checkpoint"))
    bench.refuses(MODEL, *words, "--teacher", bench.wide, says=("width 16", "8"))
    bench.refuses(MODEL, *words, "--teacher", bench.student, says=("flair", "all four"))
    bench.refuses(MODEL, *words, "--teacher", bench.teacher, "--fold", "1", says=("learnt from", "held out here"))
    unfinished = copied(bench.teacher, tmp_path / "unfinished")
    (unfinished / "DONE").unlink()
    bench.refuses(MODEL, *words, "--teacher", unfinished, says=("unfinished", "no finished run"))
    assert not (bench.root / "new").exists()


def test_a_prediction_asked_for_wrongly_is_usage(bench, tmp_path) -> None:
    mask = tmp_path / "mask.nii.gz"
    scan, out = ["--flair", bench.flair], ["-o", mask]
    bench.refuses(USAGE, "predict", bench.student, *scan, says=("--out",))
    bench.refuses(USAGE, "predict", bench.student, *out, says=("one way", "--case"))
    bench.refuses(USAGE, "predict", bench.student, *scan, "--case", bench.flair.parent, *out, says=("one way",))
    bench.refuses(USAGE, "predict", bench.student, *scan, *scan, *out, says=("--flair", "twice"))
    bench.refuses(USAGE, "predict", bench.teacher, *scan, *out, says=("t1+t1ce+t2", "missing"))
    bench.refuses(USAGE, "predict", bench.student, "--t1", bench.flair, *out, says=("flair is missing",))
    bench.refuses(USAGE, "predict", bench.student, "--case", bench.phantoms, *out, says=("4 patients", "--folder"))
    bench.refuses(USAGE, "predict", bench.student, *scan, "-o", tmp_path / "mask.png", says=("mask.png", ".nii.gz"))
    bench.refuses(USAGE, "predict", bench.student, *scan, *out, "--labels", "brats", says=("'brats'", "brats2018"))
    assert not list(tmp_path.iterdir())


def test_a_mask_is_replaced_if_that_is_asked_for_and_a_file_beside_it_never(bench, tmp_path) -> None:
    words = ["predict", bench.student, "--flair", bench.flair, "-o", tmp_path / "mask.nii.gz"]
    (tmp_path / "mask.json").write_text("kept")
    for asked in ([], ["--overwrite"]):
        bench.refuses(USAGE, *words, *asked, says=("mask.json",))
    (tmp_path / "mask.json").rename(tmp_path / "mask.nii.gz")
    bench.refuses(USAGE, *words, says=("mask.nii.gz", "--overwrite"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]
    assert main([*map(str, words), "--overwrite"]) == 0
    assert nib.load(tmp_path / "mask.nii.gz").shape == nib.load(bench.flair).shape


def test_a_scan_is_never_overwritten_by_its_mask(bench) -> None:
    words = ["predict", bench.student, "--flair", bench.flair, "-o", bench.flair, "--overwrite"]
    bench.refuses(USAGE, *words, says=("is a scan itself",))


@pytest.mark.parametrize(("spoil", "found"), [(truncated, "truncated"), (with_nan, "NaN"), (moved, "affine")])
def test_a_bad_scan_is_data(spoil, found, bench, tmp_path) -> None:
    folder = tmp_path / "BraTS2021_00001"
    shutil.copytree(bench.flair.parent, folder)
    bad = spoil(folder)
    mask = tmp_path / "mask.nii.gz"
    said = bench.refuses(DATA, "predict", bench.teacher, "--case", folder, "-o", mask, says=(found,))
    assert bad.name in said
    assert not list(tmp_path.glob("mask*"))


def test_a_missing_scan_is_data(bench, tmp_path) -> None:
    words = ["predict", bench.student, "--flair", tmp_path / "nowhere.nii.gz", "-o", tmp_path / "mask.nii.gz"]
    bench.refuses(DATA, *words, says=("nowhere.nii.gz", "no such file"))


def test_the_good_cases_of_a_folder_are_written_and_the_bad_ones_told(bench, tmp_path) -> None:
    source, masks = tmp_path / "source", tmp_path / "masks"
    shutil.copytree(bench.phantoms, source)
    truncated(source / "BraTS2021_00001")
    (source / "BraTS2021_00003" / "BraTS2021_00003_t2.nii.gz").unlink()
    masks.mkdir()
    (masks / "BraTS2021_00004.nii.gz").write_text("kept")
    bench.capsys.readouterr()
    assert main(["predict", str(bench.teacher), "--folder", str(source), "-o", str(masks)]) == PARTIAL
    header, *lines = bench.capsys.readouterr().err.splitlines()
    assert header == "limbeck: 3 of 4 cases failed:"
    for line, case, why in zip(lines, (1, 3, 4), ("truncated", "t2 is missing", "--overwrite"), strict=True):
        assert line.strip().startswith(f"BraTS2021_0000{case}: ") and why in line
    assert sorted(path.name for path in masks.iterdir()) == [
        *("BraTS2021_00002.json", "BraTS2021_00002.nii.gz", "BraTS2021_00004.nii.gz")
    ]
    assert (masks / "BraTS2021_00004.nii.gz").read_text() == "kept"


def test_an_evaluation_asked_for_wrongly_is_told_before_it_starts(bench, tmp_path) -> None:
    results = tmp_path / "results.csv"
    words = ["evaluate", bench.student, "--data", bench.cohort, "--out"]
    bench.refuses(USAGE, *words, results, "--subsets", "t2", says=("serves flair",))
    bench.refuses(USAGE, *words, results, "--subsets", "t5", says=("'t5'",))
    bench.refuses(USAGE, *words, results, "--device", "abacus", says=("'abacus'",))
    bench.refuses(USAGE, *words, tmp_path, says=(str(tmp_path), "folder"))
    bench.refuses(USAGE, words[0], bench.student, *words[1:], results, says=("student", "twice"))
    bench.refuses(USAGE, *words, tmp_path / "results.txt", says=("results.txt", ".csv"))
    assert not results.exists()
    results.write_text("mine")
    bench.refuses(USAGE, *words, results, says=("results.csv", "--overwrite"))
    assert results.read_text() == "mine"


def test_a_prediction_from_an_unfinished_run_says_so(bench, tmp_path) -> None:
    unfinished = copied(bench.student, tmp_path / "unfinished")
    (unfinished / "DONE").unlink()
    assert main(["predict", str(unfinished), "--flair", str(bench.flair), "-o", str(tmp_path / "mask.nii.gz")]) == 0
    assert "unfinished: its weights are of step" in bench.capsys.readouterr().err


def test_cases_that_a_run_has_learnt_from_are_not_scored_as_another_cohort(bench, tmp_path) -> None:
    finer = tmp_path / "finer"
    assert main(["import", str(bench.phantoms), "--spacing", "5", "--workers", "1", "--out", str(finer)]) == 0
    words = ("evaluate", bench.student, "--data", finer, "--out", tmp_path / "results.csv")
    bench.refuses(USAGE, *words, says=("has learnt from", "held out"))
    copy = copied(bench.student, tmp_path / "student")
    (copy / "fold.json").unlink()
    words = ("evaluate", copy, "--data", finer, "--out", tmp_path / "results.csv")
    bench.refuses(MODEL, *words, says=("fold.json",))


def test_a_report_of_nothing_is_data(bench, tmp_path) -> None:
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    page = tmp_path / "report.html"
    bench.refuses(DATA, "report", tmp_path / "nowhere.csv", "-o", page, says=("nowhere.csv",))
    bench.refuses(DATA, "report", tmp_path / "results.csv", "-o", page, says=("results.csv", "line 1"))
    assert not page.exists()
