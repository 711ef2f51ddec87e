"""Rows of other rules or other data never share a table, and a line stands for one method."""

from dataclasses import replace

import pytest

from limbeck.anatomy import Region, Subset
from limbeck.errors import DataError, UsageError
from limbeck.evaluation.comparable import Origin, by_line, origin, split, step
from limbeck.evaluation.table import Row

ROW = Row("r", "gkd", 0, 0, "a", Subset.parse("t1ce"), Region.WT, "dice", 0.5, data="0123456789abcdef")


def test_rows_are_parted_by_protocol_and_cohort():
    other, elsewhere = replace(ROW, protocol="pkdr-as-published-1"), replace(ROW, data="")
    parts = split([ROW, other, elsewhere, ROW])
    assert list(parts) == [
        Origin("strict-1", "0123456789abcdef"),
        Origin("pkdr-as-published-1", "0123456789abcdef"),
        Origin("strict-1", ""),
    ]
    assert [len(part) for part in parts.values()] == [2, 1, 1]


def test_one_origin_is_told_and_several_are_refused():
    assert origin([ROW, ROW]) == Origin("strict-1", "0123456789abcdef")
    with pytest.raises(UsageError, match="strict-1 and of other-2"):
        origin([ROW, replace(ROW, protocol="other-2")])
    with pytest.raises(UsageError, match="cohort 0123456789ab and of cohort ffffffffffff"):
        origin([ROW, replace(ROW, data="f" * 64)])


def test_no_rows_are_of_no_one():
    assert origin([]) == Origin("", "")


@pytest.mark.parametrize(("processing", "name"), [("raw", "raw"), ("et>=120mm3", "et"), ("smooth", "smooth")])
def test_a_step_goes_by_its_name_without_its_threshold(processing, name):
    assert step(processing) == name


def test_a_line_is_a_label_a_subset_and_a_step():
    processed, other = replace(ROW, processing="et>=9mm3"), replace(ROW, subset=Subset.parse("t1"))
    assert list(by_line([ROW, processed, other], {"r": "mine"})) == [
        ("mine", Subset.parse("t1ce"), "raw"),
        ("mine", Subset.parse("t1ce"), "et"),
        ("mine", Subset.parse("t1"), "raw"),
    ]


def test_a_line_covers_one_method_and_nothing_twice():
    with pytest.raises(UsageError, match="'x' covers the methods dropout, gkd"):
        by_line([ROW, replace(ROW, run="q", method="dropout")], {"r": "x", "q": "x"})
    with pytest.raises(DataError, match="'r' and 'q' both stand for 'gkd'"):
        by_line([ROW, replace(ROW, run="q")], {})


def test_the_same_rows_twice_are_refused():
    with pytest.raises(DataError, match="has case a from t1ce twice: expected each results file once"):
        by_line([ROW, replace(ROW, value=0.7)], {})
