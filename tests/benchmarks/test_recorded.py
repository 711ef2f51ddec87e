"""Rows that are kept: what they are named by, what makes them anew, and what does not."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
import recorded
import yaml
from distillation import MATRIX
from recorded import Evidence, derived, digest

from limbeck.anatomy import Region, Subset
from limbeck.benchmark import matrix
from limbeck.evaluation import table
from limbeck.evaluation.table import Row

ROWS = [Row("gkd-t1-f0-s1-aa", "gkd", 0, 1, "case", Subset.parse("t1"), region, "dice", 0.5) for region in Region]


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """The matrix, whose training writes the same rows each time and counts."""
    found = Evidence(MATRIX, tmp_path / "out", tmp_path / "record")

    def train(words: list[str], check: bool) -> object:
        assert matrix.read(Path(words[4])).seeds == (1,) and words[6] == str(found.out)
        (found.out / "trained").open("a").write("x")
        table.write(found.out / "results.csv", ROWS)
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(recorded.subprocess, "run", train)
    return found


def test_what_is_recorded_is_not_trained_again(evidence: Evidence) -> None:
    assert evidence.rows("gkd", seeds=[1]) == ROWS == evidence.rows("gkd", seeds=[1])
    assert (evidence.out / "trained").read_text() == "x"
    # Nor where what was trained is lost.
    shutil.rmtree(evidence.out)
    assert Evidence(MATRIX, evidence.out, evidence.record, train=False).rows("gkd", seeds=[1]) == ROWS


def test_other_settings_are_other_rows(evidence: Evidence) -> None:
    evidence.rows("gkd", seeds=[1])
    evidence.rows("gkd", {"temperature": 3.0}, seeds=[1])
    assert (evidence.out / "trained").read_text() == "xx"
    assert len(list(evidence.record.iterdir())) == 2


def test_what_is_not_recorded_is_left_out_of_tables(evidence: Evidence) -> None:
    assert Evidence(MATRIX, evidence.out, evidence.record, train=False).rows("gkd", seeds=[1]) == []


def test_the_same_rows_are_the_same_file(evidence: Evidence) -> None:
    evidence.rows("gkd", seeds=[1])
    (path,) = evidence.record.iterdir()
    before = path.read_bytes()
    path.unlink()
    evidence.rows("gkd", seeds=[1])
    assert path.read_bytes() == before and gzip.decompress(before).startswith(b"schema")


def test_a_digest_stands_for_the_matrix_wherever_it_lies(tmp_path: Path) -> None:
    moved = tmp_path / "configs" / MATRIX.name
    shutil.copytree(MATRIX.parent, moved.parent)
    here, there = (digest(derived(path, "rirn", {}, (), 0)) for path in (MATRIX, moved))
    assert here == there
    recipe = moved.with_name("common.yaml")
    recipe.write_text(recipe.read_text().replace("clip: 5.0", "clip: 4.0"))
    assert digest(derived(moved, "rirn", {}, (), 0)) != here


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
