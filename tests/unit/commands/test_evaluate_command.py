"""The command that scores: what is killed goes on, what lies there is kept, and nothing is mixed."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from begun import Begun

from limbeck.anatomy import Subset
from limbeck.cli import main
from limbeck.data.cohort import Cohort
from limbeck.evaluation.table import read
from limbeck.lock import held

FAST = ["--width", "8", "--patch", "16,16,16", "--folds", "2", "--precision", "float32", "--device", "cpu"]


@pytest.fixture(scope="module")
def bench(five_patients: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A cohort, a specialist and a generalist."""
    root = tmp_path_factory.mktemp("evaluate")
    assert main(["import", str(five_patients), "--spacing", "9", "--workers", "1", "--out", str(root / "cohort")]) == 0
    for method in (["supervised", "--subset", "flair"], ["dropout"]):
        words = ["--data", str(root / "cohort"), "--steps", "1", *FAST, "--out", str(root / "runs")]
        assert main(["train", *method, *words]) == 0
    specialist, generalist = (next((root / "runs").glob(f"{name}-*")) for name in ("supervised", "dropout"))
    return root / "cohort", specialist, generalist


def evaluate(bench: tuple[Path, Path, Path], out: Path, *words: str | Path, runs: slice = slice(1, 3)) -> int:
    given = ["evaluate", *bench[runs], "--data", bench[0], "--device", "cpu", *words, "-o", out]
    return main([str(word) for word in given])


def test_a_killed_evaluation_goes_on_to_the_same_table(bench, tmp_path) -> None:
    assert evaluate(bench, tmp_path / "whole.csv") == 0
    words = [str(word) for word in (*bench[1:], "--data", bench[0], "--device", "cpu", "-o", tmp_path / "killed.csv")]
    process = Begun("evaluate", *words)
    journal = tmp_path / "killed.csv.partial"
    while process.poll() is None and not list(journal.glob("*/*.csv")):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed.csv").exists()
    kept = {path: path.stat().st_mtime_ns for path in journal.glob("*/*.csv")}
    assert kept
    assert main(["evaluate", *words]) == 0
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"whole.csv", "killed.csv"}


def left(bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Path:
    """What an evaluation leaves that is interrupted when it would write its table."""
    with monkeypatch.context() as patch:
        patch.setattr("limbeck.evaluation.table.write", _interrupted)
        assert evaluate(bench, tmp_path / "results.csv", *words, runs=slice(1, 2)) == 130
    return tmp_path / "results.csv.partial"


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_finished_cases_are_not_predicted_again(bench, tmp_path, monkeypatch, capsys) -> None:
    journal = left(bench, tmp_path, monkeypatch)
    monkeypatch.setattr("limbeck.inference.predictor.Predictor.segment_case", lambda *_: pytest.fail("predicted again"))
    capsys.readouterr()
    assert evaluate(bench, tmp_path / "results.csv", runs=slice(1, 2)) == 0
    assert f"going on with what {journal} keeps" in capsys.readouterr().err
    assert not journal.exists()


@pytest.mark.parametrize(
    ("words", "differs"),
    [
        (["--metrics", "hd95_mm"], "metrics"),
        (["--metrics", "dice", "--processed"], "processed"),
        (["--metrics", "dice", "--protocol", "pkdr-as-published"], "protocol"),
    ],
)
def test_what_an_evaluation_by_other_settings_left_is_refused(
    bench, tmp_path, monkeypatch, capsys, words, differs
) -> None:
    journal = left(bench, tmp_path, monkeypatch, "--metrics", "dice")
    before = {path: path.stat().st_mtime_ns for path in journal.rglob("*")}
    assert evaluate(bench, tmp_path / "results.csv", *words, runs=slice(1, 2)) == 2
    assert f"an unfinished evaluation with another {differs}:" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in journal.rglob("*")} == before
    assert not (tmp_path / "results.csv").exists()
    assert evaluate(bench, tmp_path / "results.csv", *words, "--overwrite", runs=slice(1, 2)) == 0
    assert not journal.exists()


def test_a_command_that_is_refused_drops_nothing(bench, tmp_path, monkeypatch) -> None:
    journal = left(bench, tmp_path, monkeypatch)
    before = {path: path.stat().st_mtime_ns for path in journal.rglob("*")}
    assert evaluate(bench, tmp_path / "results.csv", "--overwrite", "--metrics", "nope") == 2
    words = [tmp_path / "no-run", "--data", bench[0], "--overwrite", "-o", tmp_path / "results.csv"]
    assert main(["evaluate", *map(str, words)]) == 4
    assert {path: path.stat().st_mtime_ns for path in journal.rglob("*")} == before


def test_a_table_is_gone_on_with(bench, tmp_path, monkeypatch) -> None:
    out, whole = tmp_path / "results.csv", tmp_path / "whole.csv"
    assert evaluate(bench, whole, "--metrics", "dice") == 0
    assert evaluate(bench, out, "--metrics", "dice", runs=slice(1, 2)) == 0
    assert evaluate(bench, out, "--metrics", "dice") == 2, "a table that exists is not replaced unasked"
    assert evaluate(bench, out, "--metrics", "dice", "--subsets", "ALL", "--resume") == 0
    assert out.read_bytes() == whole.read_bytes()
    monkeypatch.setattr("limbeck.inference.predictor.Predictor.segment_case", lambda *_: pytest.fail("predicted again"))
    assert evaluate(bench, out, "--metrics", "dice", "--subsets", "flair", "--resume") == 0
    assert out.read_bytes() == whole.read_bytes()


def test_a_table_of_other_rules_or_data_is_not_gone_on_with(bench, tmp_path, capsys) -> None:
    out = tmp_path / "results.csv"
    assert evaluate(bench, out, "--metrics", "dice", runs=slice(1, 2)) == 0
    before = out.read_bytes()
    assert evaluate(bench, out, "--protocol", "pkdr-as-published", "--resume", runs=slice(1, 2)) == 2
    assert "by protocol strict-1, not pkdr-as-published-1" in capsys.readouterr().err
    out.write_bytes(before.replace(Cohort.open(bench[0]).hash.encode(), b"another"))
    assert evaluate(bench, out, "--metrics", "dice", "--resume", runs=slice(1, 2)) == 2
    assert "of other data" in capsys.readouterr().err
    assert evaluate(bench, out, "--resume", "--overwrite") == 2


def test_rows_that_make_no_table_are_written_all_the_same(bench, tmp_path, capsys) -> None:
    assert evaluate(bench, tmp_path / "results.csv", "--metrics", "hd95_mm", runs=slice(1, 2)) == 0
    assert "note: no table to show: the results hold no Dice" in capsys.readouterr().err
    assert {row.metric for row in read(tmp_path / "results.csv")} == {"hd95_mm"}


def test_masks_lie_over_their_scans_by_run_case_and_subset(bench, tmp_path) -> None:
    masks, out = tmp_path / "masks", tmp_path / "results.csv"
    words = ["--masks", str(masks), "--subsets", "flair,t1ce+t2"]
    assert evaluate(bench, out, *words, "--metrics", "dice") == 0
    rows = read(out)
    cohort = Cohort.open(bench[0])
    assert {str(path.relative_to(masks)) for path in masks.rglob("*.nii.gz")} == {
        f"{row.run}/{row.case}_{row.subset}.nii.gz" for row in rows
    }
    row = next(row for row in rows if row.subset == Subset.parse("flair") and row.region.name == "WT")
    mask = nib.load(masks / row.run / f"{row.case}_flair.nii.gz")
    reference, grid = cohort.case(row.case).reference()
    assert mask.get_data_dtype() == np.uint8 and np.array_equal(mask.affine, grid.affine)
    found, truth = (np.isin(labels, (1, 2, 3)) for labels in (np.asarray(mask.dataobj), reference))
    assert row.value == pytest.approx(2 * (found & truth).sum() / max((found.sum() + truth.sum()), 1))


def test_masks_of_another_cohort_with_the_same_names_are_not_written_over(bench, tmp_path, monkeypatch, capsys) -> None:
    words = ["--masks", str(tmp_path / "masks"), "--metrics", "dice"]
    assert evaluate(bench, tmp_path / "one.csv", *words, runs=slice(1, 2)) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").rglob("*")}
    run = tmp_path / "masks" / bench[1].name / "masks.json"
    said = json.loads(run.read_text())
    assert said == {"cohort": Cohort.open(bench[0]).hash, "protocol": "strict-1"}
    run.write_text(json.dumps({**said, "cohort": "f" * 64}))
    assert evaluate(bench, tmp_path / "two.csv", *words, runs=slice(1, 2)) == 2
    assert "holds masks of another cohort (ffffffffffff)" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").rglob("*.nii.gz")}.items() <= before.items()
    run.unlink()
    assert evaluate(bench, tmp_path / "two.csv", *words, runs=slice(1, 2)) == 0


def test_a_threshold_is_kept_with_its_run(bench, tmp_path) -> None:
    assert evaluate(bench, tmp_path / "results.csv", "--processed", "--metrics", "dice", runs=slice(1, 2)) == 0
    kept = json.loads((bench[1] / "postprocess.json").read_text())["strict-1"]
    assert {row.processing for row in read(tmp_path / "results.csv")} == {"raw", kept["step"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--protocol", "gkd"], "unknown protocol 'gkd'"),
        (["--protocol", "choi-as-published"], "CHOI's split, crop and metric are not known"),
        (["--protocol", "rirn-as-published"], "has 9 mm"),
        (["--metrics", "dice,dise"], "unknown metric 'dise'"),
        (["--subsets", "flair,t2f"], "subset flair is given twice"),
    ],
)
def test_what_cannot_be_measured_is_usage_and_leaves_nothing(bench, tmp_path, capsys, words, said) -> None:
    assert evaluate(bench, tmp_path / "results.csv", *words) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_every_run_is_checked_before_the_first_is_begun(bench, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("limbeck.inference.predictor.Predictor.segment_case", lambda *_: pytest.fail("begun"))
    (tmp_path / "unfinished").mkdir()
    given = ["evaluate", bench[1], tmp_path / "unfinished", "--data", bench[0], "-o", tmp_path / "results.csv"]
    assert main([str(word) for word in given]) == 4


def test_two_that_go_on_with_one_table_do_not_run_at_once(bench, tmp_path, capsys) -> None:
    out = tmp_path / "results.csv"
    with held(tmp_path / "results.csv.partial" / "evaluate.lock", leave=False):
        assert evaluate(bench, out) == 2
    assert f"{out} is being written by process {os.getpid()}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_refused_evaluation_leaves_nothing(bench, tmp_path) -> None:
    for out in (tmp_path / "results.csv", tmp_path / "new" / "deep" / "results.csv"):
        assert evaluate(bench, out, "--metrics", "nope") == 2
    assert list(tmp_path.iterdir()) == []


def test_intervals_go_by_patient(bench, tmp_path, monkeypatch, capsys) -> None:
    """Five phantoms as five scans of two patients, whom the table and `limbeck report --data` have to know."""
    cohort = Cohort.open(bench[0])
    shared = [replace(case, patient=f"p{number % 2}") for number, case in enumerate(cohort.cases)]
    monkeypatch.setattr(Cohort, "open", lambda path: replace(cohort, cases=tuple(shared)))
    out = tmp_path / "results.csv"
    assert evaluate(bench, out, runs=slice(1, 2)) == 0
    told = f"of {len({case.patient for case in shared if case.id in {row.case for row in read(out)}})} patients"
    assert told in " ".join(capsys.readouterr().out.split())
    for words, known in ((["--data", str(bench[0])], True), ([], False)):
        page = tmp_path / f"{known}.md"
        assert main(["report", str(out), *words, "-o", str(page)]) == 0
        assert (told in page.read_text()) == known
    monkeypatch.setattr(Cohort, "open", lambda path: replace(cohort, hash="f" * 64))
    assert main(["report", str(out), "--data", str(bench[0]), "-o", str(tmp_path / "other.md")]) == 3
