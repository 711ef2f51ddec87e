from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from unit.benchmark.making import planned

from limbeck.anatomy import Region, Subset
from limbeck.benchmark.matrix import Scoring
from limbeck.benchmark.state import locked, measured_of, results_of, scores_of
from limbeck.benchmark.work import Task, work
from limbeck.errors import DataError
from limbeck.evaluation import table
from limbeck.evaluation.table import Row

FLAIR, T1 = Subset.parse("flair"), Subset.parse("t1")
HOLD = """
import sys, time
from pathlib import Path
from limbeck.benchmark.state import locked
with locked(Path(sys.argv[1]), "cell") as held:
    print(held, flush=True)
    time.sleep(60)
"""


def test_a_cell_is_in_one_hand_until_its_holder_ends_even_by_sigkill(tmp_path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "True\n"
    assert (tmp_path / "locks" / "cell.lock").read_text() == f"{holder.pid}\n"
    with locked(tmp_path, "cell") as held, locked(tmp_path, "other") as other:
        assert not held and other
    holder.kill()
    holder.communicate()
    with locked(tmp_path, "cell", wait=True) as held:
        assert held
        assert (tmp_path / "locks" / "cell.lock").read_text() == f"{os.getpid()}\n"
    assert (tmp_path / "locks" / "cell.lock").read_text() == ""


def test_work_on_a_cell_in_other_hands_touches_nothing(tmp_path) -> None:
    (cell,) = planned(tmp_path, "methods: [dropout]").cells.values()
    task = Task(cell, None, tmp_path / "no-cohort", tmp_path, Scoring(("dice",), "strict-1"), 1)
    with locked(tmp_path, cell.name):
        before = sorted(tmp_path.rglob("*"))
        assert work(task).state == "busy"
        assert sorted(tmp_path.rglob("*")) == before
    failed = work(task)
    assert failed.state == "failed" and "no-cohort" in failed.problem
    assert "Traceback" in (tmp_path / "failures" / f"{cell.name}.txt").read_text()


def rows(run: str = "run", data: str = "d" * 64, subsets=(FLAIR,), metrics=("dice",), **more: str) -> list[Row]:
    return [
        Row(run, "dropout", 0, 0, "case", subset, Region.WT, metric, 0.5, data=data, **more)
        for subset in subsets
        for metric in metrics
    ]


def scored(out: Path, written: list[Row], **asked) -> list[Row]:
    table.write(results_of(out, "run"), written)
    (cell,) = planned(out, "methods: [dropout]\nsubsets: [flair]").cells.values()
    scoring = Scoring(**{"metrics": ("dice",), "protocol": "strict-1", **asked})
    return scores_of(out, "run", "d" * 64, cell, scoring)


def test_scores_count_if_they_were_made_as_asked(tmp_path) -> None:
    assert scored(tmp_path, rows()) == rows()
    assert scored(tmp_path, rows(), metrics=("dice", "precision")) == []
    assert scored(tmp_path, rows(), protocol="strict-2") == []
    assert scored(tmp_path, rows(), processed=True) == []
    both = rows() + rows(processing="et>=120mm3")
    assert len(scored(tmp_path, both, processed=True)) == 2


def test_what_was_scored_beyond_what_is_asked_for_is_left_out_and_costs_nothing(tmp_path) -> None:
    """A matrix that is narrowed has nothing to do."""
    more = rows(subsets=(FLAIR, T1), metrics=("dice", "hd95_mm")) + rows(processing="et>=120mm3")
    assert scored(tmp_path, more) == rows()
    assert len(measured_of(tmp_path, "run", "d" * 64)) == 5
    # One metric from each sequence is not each metric from one.
    assert scored(tmp_path, rows() + rows(subsets=(T1,), metrics=("hd95_mm",)), metrics=("dice", "hd95_mm")) == []


def test_scores_of_other_data_or_runs_are_refused_by_name(tmp_path) -> None:
    with pytest.raises(DataError, match=r"run\.csv: scored on data eeeeeeee, expected dddddddd"):
        scored(tmp_path, rows(data="e" * 64))
    with pytest.raises(DataError, match=r"run\.csv: holds results of other"):
        scored(tmp_path, rows(run="other"))
    results_of(tmp_path, "run").write_text("schema,run\n1,run\n")
    (cell,) = planned(tmp_path, "methods: [dropout]").cells.values()
    with pytest.raises(DataError, match=r"run\.csv"):
        scores_of(tmp_path, "run", "d" * 64, cell, Scoring(("dice",), "strict-1"))
