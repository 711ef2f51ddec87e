"""A journal gives back what was measured, and nothing of another evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.anatomy import Region, Subset
from limbeck.errors import UsageError
from limbeck.evaluation.journal import Journal
from limbeck.evaluation.table import Row

PLAN = {"data": "hash", "metrics": ["dice"]}


def row(case: str, region: Region, value: float = 1 / 3, metric: str = "dice") -> Row:
    return Row("run", "gkd", 0, 0, case, Subset.parse("flair"), region, metric, value)


def keys(rows: list[Row]) -> list[tuple[object, ...]]:
    return [row.key for row in rows]


@pytest.fixture
def rows() -> list[Row]:
    return [row("a", region) for region in Region]


def test_what_was_kept_comes_back_to_the_bit(tmp_path: Path, rows: list[Row]) -> None:
    journal = Journal(tmp_path / "run", PLAN)
    journal.begin()
    journal.add("a", rows)
    again = Journal(tmp_path / "run", PLAN)
    again.check()
    assert again.rows("a", keys(rows)) == rows
    assert again.rows("b", keys([row("b", Region.WT)])) is None


def test_a_case_with_a_row_missing_is_measured_again(tmp_path: Path, rows: list[Row]) -> None:
    journal = Journal(tmp_path / "run", PLAN)
    journal.add("a", rows[:2])
    assert journal.rows("a", keys(rows)) is None


def test_a_damaged_case_is_measured_again(tmp_path: Path, rows: list[Row]) -> None:
    journal = Journal(tmp_path / "run", PLAN)
    journal.add("a", rows)
    (kept,) = (tmp_path / "run").glob("a*")
    kept.write_text(kept.read_text()[:-20])
    assert journal.rows("a", keys(rows)) is None


@pytest.mark.parametrize("other", [{**PLAN, "metrics": ["hd95_mm"]}, {"data": "hash"}, {**PLAN, "metrics": []}])
def test_another_plan_is_refused_and_named(tmp_path: Path, other: dict[str, object]) -> None:
    Journal(tmp_path / "run", PLAN).begin()
    with pytest.raises(UsageError, match=r"another metrics: .*--overwrite"):
        Journal(tmp_path / "run", other).check()


def test_of_an_earlier_table_what_is_asked_for_is_taken(rows: list[Row]) -> None:
    more = [*rows, row("a", Region.WT, metric="hd95_mm"), row("b", Region.WT)]
    journal = Journal(None, PLAN, tuple(more))
    journal.check()
    journal.begin()
    assert journal.rows("a", keys(rows)) == rows
    assert journal.rows("b", keys([row("b", region) for region in Region])) is None
    journal.add("a", rows)
