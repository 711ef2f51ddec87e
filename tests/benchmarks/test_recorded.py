"""Rows that are kept: what they are named by, what makes them anew, and what does not."""

from __future__ import annotations

import argparse
import gzip
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import recorded
import yaml
from recorded import MATRIX, RECORD, Evidence, asked_for, derived, digest

from limbeck.anatomy import Region, Subset
from limbeck.benchmark import matrix
from limbeck.evaluation import table
from limbeck.evaluation.table import Row
from limbeck.lock import held

ROWS = [Row("gkd-t1-f0-s1-aa", "gkd", 0, 1, "case", Subset.parse("t1"), region, "dice", 0.5) for region in Region]


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """The matrix, whose training writes the same rows each time and counts."""
    found = Evidence(MATRIX, tmp_path / "out", tmp_path / "record")

    def train(words: list[str], stdout: object, check: bool) -> object:
        assert stdout is sys.stderr, "tables are all that a script prints"
        assert matrix.read(Path(words[4])).seeds == (1,) and words[6] == str(found.out)
        with held(found.out / "asked.lock") as free:
            assert not free, "nobody else may write the results meanwhile"
        (found.out / "trained").open("a").write("x")
        table.write(found.out / "results.csv", ROWS)
        return type("Done", (), {"returncode": int((found.out / "fails").exists())})

    monkeypatch.setattr(recorded.subprocess, "run", train)
    return found


def test_what_is_recorded_is_not_trained_again(evidence: Evidence) -> None:
    assert evidence.rows("gkd", {}, (), [1]) == ROWS == evidence.rows("gkd", {}, (), [1])
    assert (evidence.out / "trained").read_text() == "x"
    # Nor where what was trained is lost.
    shutil.rmtree(evidence.out)
    assert Evidence(MATRIX, evidence.out, evidence.record, train=False).rows("gkd", {}, (), [1]) == ROWS


def test_other_settings_are_other_rows(evidence: Evidence) -> None:
    evidence.rows("gkd", {}, (), [1])
    evidence.rows("gkd", {"temperature": 3.0}, (), [1])
    assert (evidence.out / "trained").read_text() == "xx"
    assert len(list(evidence.record.iterdir())) == 2


def test_what_is_not_recorded_is_left_out_of_tables(evidence: Evidence) -> None:
    assert Evidence(MATRIX, evidence.out, evidence.record, train=False).rows("gkd", {}, (), [1]) == []


def test_training_that_fails_leaves_no_record(evidence: Evidence) -> None:
    evidence.out.mkdir()
    (evidence.out / "fails").touch()
    with pytest.raises(SystemExit):
        evidence.rows("gkd", {}, (), [1])
    assert not evidence.record.exists()


def test_other_metrics_are_left_aside(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROWS", [*ROWS, replace(ROWS[0], metric="hd95_mm", value=9.0)])
    assert evidence.rows("gkd", {}, (), [1]) == ROWS[:-1]


def test_a_teacher_that_was_trained_twice_counts_once() -> None:
    again = [replace(row, value=0.6) for row in ROWS]
    assert recorded.distinct([*ROWS, *again]) == ROWS


def test_patients_of_another_cohort_are_refused() -> None:
    recorded.of_one_cohort(ROWS)
    with pytest.raises(SystemExit, match="aaaa, bbbb: expected one"):
        recorded.of_one_cohort([replace(ROWS[0], data="aaaa"), replace(ROWS[1], data="bbbb")])


def test_a_line_names_each_run_and_its_dice(evidence: Evidence) -> None:
    evidence.rows("gkd", {}, (), [1])
    (path,) = evidence.record.iterdir()
    recorded.write_runs(evidence.record)
    lines = (evidence.record / "runs.csv").read_text().splitlines()
    assert lines == ["file,run,subset,cases,WT,TC,ET", f"{path.name},gkd-t1-f0-s1-aa,t1,1,0.5000,0.5000,0.5000"]


def test_the_same_rows_are_the_same_file(evidence: Evidence) -> None:
    evidence.rows("gkd", {}, (), [1])
    (path,) = evidence.record.iterdir()
    before = path.read_bytes()
    path.unlink()
    evidence.rows("gkd", {}, (), [1])
    assert path.read_bytes() == before and gzip.decompress(before).startswith(b"schema")


def test_a_digest_stands_for_the_matrix_wherever_it_lies(tmp_path: Path) -> None:
    moved = tmp_path / "configs" / MATRIX.name
    shutil.copytree(MATRIX.parent, moved.parent)
    here, there = (digest(derived(path, "rirn", {}, (), 0)) for path in (MATRIX, moved))
    assert here == there
    recipe = moved.with_name("common.yaml")
    recipe.write_text(recipe.read_text().replace("clip: 5.0", "clip: 4.0"))
    assert digest(derived(moved, "rirn", {}, (), 0)) != here


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("cases: 240", "cases: 241"),
        ("steps: 4000", "steps: 4001"),
        ("spacing: 5 ", "spacing: 6 "),
        ("folds: 4", "folds: 5"),
    ],
)
def test_whatever_is_asked_for_is_in_the_digest(written: str, changed: str, tmp_path: Path) -> None:
    moved = tmp_path / "configs" / MATRIX.name
    shutil.copytree(MATRIX.parent, moved.parent)
    text = moved.read_text()
    assert written in text
    before = digest(derived(moved, "limbeck", {}, (), 0))
    moved.write_text(text.replace(written, changed))
    assert digest(derived(moved, "limbeck", {}, (), 0)) != before
    assert (
        len({digest(derived(MATRIX, "limbeck", {}, subsets, seed)) for subsets in ((), ["t1"]) for seed in (0, 1)}) == 4
    )


def test_another_matrix_wants_another_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = str(tmp_path / "other.yaml")
    monkeypatch.chdir(MATRIX.parent)
    # The same file by another path is no other matrix.
    monkeypatch.setattr(sys, "argv", ["script", "--matrix", MATRIX.name, "--tables"])
    _, evidence = asked_for(argparse.ArgumentParser())
    assert (evidence.record, evidence.train) == (RECORD, False)
    monkeypatch.setattr(sys, "argv", ["script", "--matrix", other])
    with pytest.raises(SystemExit):
        asked_for(argparse.ArgumentParser())
    monkeypatch.setattr(sys, "argv", ["script", "--matrix", other, "--record", str(tmp_path)])
    assert asked_for(argparse.ArgumentParser())[1].record == tmp_path


def test_what_is_not_asked_otherwise_stays_as_it_is_written() -> None:
    written = yaml.safe_load(MATRIX.read_text())
    asked = derived(MATRIX, "supervised", {"steps": 77}, (), 2)
    assert (asked["methods"], asked["seeds"]) == (["supervised"], [2]) and Path(asked["recipe"]).is_file()
    assert asked["method_settings"] == {"supervised": {"steps": 77}}
    same = ("phantoms", "subsets", "folds", "metrics", "settings")
    assert {key: asked[key] for key in same} == {key: written[key] for key in same}


def test_settings_of_methods_without_a_part_do_not_count() -> None:
    content = yaml.safe_load(MATRIX.read_text())["method_settings"]
    assert derived(MATRIX, "limbeck", {"start": "fresh"}, ["t1"], 2)["method_settings"] == {
        "dropout": content["dropout"],
        "limbeck": {"start": "fresh"},
    }
    assert derived(MATRIX, "rirn", {"position_relation_weight": 0.0}, (), 0)["method_settings"] == {
        "rirn": {**content["rirn"], "position_relation_weight": 0.0}
    }
    assert "rirn" not in derived(MATRIX, "supervised", {}, (), 0)["method_settings"]
