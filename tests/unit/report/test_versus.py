"""Paired differences by hand, the family of tests, and which pairs are made."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from limbeck.anatomy import Region, Subset
from limbeck.evaluation.statistics import Bootstrap, holm
from limbeck.evaluation.table import Row
from limbeck.report import grid as grids
from limbeck.report.comparison import compare
from limbeck.report.versus import grid, p_text, versus

T1, T1CE, ALL = Subset.parse("t1"), Subset.parse("t1ce"), Subset.parse("all")
CASES = [f"c{number:02}" for number in range(12)]


def rows(method, values, *, subset=T1CE, seed=0, run=None):
    return [
        Row(run or f"r-{method}-{seed}", method, 0, seed, case, subset, region, "dice", float(value))
        for case, value in zip(CASES, values, strict=False)
        for region in Region
    ]


def noisy(level, seed):
    return np.round(np.random.default_rng(seed).normal(level, 0.1, size=12), 6)


SUPERVISED, DROPOUT, GKD = noisy(0.5, 1), noisy(0.55, 2), noisy(0.6, 3)
RESULTS = [*rows("supervised", SUPERVISED), *rows("dropout", DROPOUT), *rows("gkd", GKD)]


def test_every_line_meets_the_lower_bound_and_dropout_once():
    found = versus(compare(RESULTS))
    pairs = [(each.line.label, each.rival.label) for each in found.differences]
    assert pairs == [("dropout", "supervised"), ("gkd", "supervised"), ("gkd", "dropout")]


def test_a_difference_by_hand():
    found = versus(compare(RESULTS)).differences[1]
    difference = GKD - SUPERVISED
    assert found.mean == pytest.approx(difference.mean())
    assert found.median == pytest.approx(np.median(difference))
    assert (found.better, found.worse) == ((difference > 0).sum(), (difference < 0).sum())
    assert found.interval == pytest.approx(Bootstrap(range(12)).of_mean(difference))
    assert found.median_interval.low < found.median < found.median_interval.high
    assert found.p == pytest.approx(stats.wilcoxon(GKD, SUPERVISED).pvalue)
    assert (found.cases, found.left_out) == (12, 0)


def test_holm_is_over_the_whole_table_and_says_so():
    found = versus(compare(RESULTS))
    assert [each.p_holm for each in found.differences] == pytest.approx(holm([each.p for each in found.differences]))
    assert any("all 3 tests of this table" in sentence for sentence in found.caption)


def test_only_the_same_sequences_meet():
    found = versus(compare([*rows("supervised", SUPERVISED, subset=ALL), *rows("gkd", GKD)]))
    assert found.differences == ()
    assert "No line has supervised or dropout" in found.caption[0]
    assert grid(found).lines == ()


def test_only_common_cases_count_and_the_others_are_counted():
    part = [row for row in rows("gkd", GKD) if row.case not in ("c00", "c01")]
    found = versus(compare([*rows("supervised", SUPERVISED), *part]))
    (one,) = found.differences
    assert (one.cases, one.left_out) == (10, 2)
    assert one.mean == pytest.approx((GKD - SUPERVISED)[2:].mean())
    assert any("gkd against supervised from t1ce: 2" in sentence for sentence in found.caption)


def test_seeds_are_averaged_and_no_pairs_of_their_own():
    (one,) = versus(
        compare([*rows("supervised", SUPERVISED), *rows("gkd", GKD), *rows("gkd", GKD + 0.1, seed=1)])
    ).differences
    assert one.cases == 12
    assert one.mean == pytest.approx((GKD - SUPERVISED).mean() + 0.05)


def test_scans_of_a_patient_are_one_pair_of_the_test():
    patients = {case: f"p{number % 4}" for number, case in enumerate(CASES)}
    (one,) = versus(compare([*rows("supervised", np.zeros(12)), *rows("gkd", GKD)], patients=patients)).differences
    assert one.p == pytest.approx(2 / 2**4)
    assert one.cases == 12


def test_processed_meets_processed():
    processed = [replace(row, processing="et>=9mm3", value=row.value + 0.2) for row in RESULTS]
    found = versus(compare([*RESULTS, *processed]))
    assert len(found.differences) == 6
    assert all((each.line.processing == "raw") == (each.rival.processing == "raw") for each in found.differences)
    against = [(line[0], line[1]) for line in grid(found).lines]
    assert against[:2] == [("dropout", "supervised"), ("dropout, et>=9mm3", "supervised, et>=9mm3")]
    # One rule, between the two rivals, whatever their steps.
    assert grid(found).rules == {4}


def test_a_label_stands_before_its_method():
    labels = {"r-wide": "wide", "r-supervised-0": "supervised"}
    found = versus(compare([*RESULTS, *rows("supervised", GKD, run="r-wide")], labels))
    pairs = [(each.line.label, each.rival.label) for each in found.differences if each.rival.label == "supervised"]
    assert pairs == [("wide", "supervised"), ("dropout", "supervised"), ("gkd", "supervised")]


def test_two_lower_bounds_are_no_lower_bound_and_it_is_said():
    labels = {"r-wide": "wide", "r-supervised-0": "narrow"}
    found = versus(compare([*RESULTS, *rows("supervised", GKD, run="r-wide")], labels))
    assert not [each for each in found.differences if each.rival.method == "supervised"]
    assert any("no one supervised to be compared with, but wide, narrow" in sentence for sentence in found.caption)


def test_equal_means_over_seeds_are_no_difference():
    thirds = [row for seed, value in enumerate((0.3, 0.4, 0.5)) for row in rows("gkd", np.full(12, value), seed=seed)]
    (one,) = versus(compare([*rows("supervised", np.full(12, 0.4)), *thirds])).differences
    assert (one.better, one.worse, one.p) == (0, 0, 1.0)


def test_it_says_which_measure_was_compared():
    legacy = [replace(row, metric="legacy_slice_mean") for row in RESULTS]
    assert "a case's slice mean (the mean over WT, TC and ET)" in versus(compare(legacy)).caption[0]
    assert "a case's Dice (the mean over WT, TC and ET)" in versus(compare(RESULTS)).caption[0]


def test_the_table_shows_it_and_states_protocol_and_empty_regions():
    text = grids.markdown(grid(versus(compare(RESULTS))))
    assert f"{(GKD - SUPERVISED).mean():+.3f}" in text
    assert "sliding window" in text
    assert "n = 12 cases" in text
    assert "Empty regions" in text
    # That sentence is of the other table's cells.
    assert "the median HD95" not in text


@pytest.mark.parametrize(("p", "text"), [(0.0004, "< 0.001"), (0.001, "0.001"), (0.0466, "0.047"), (1, "1.000")])
def test_small_p_values_are_no_zeros(p, text):
    assert p_text(p) == text
