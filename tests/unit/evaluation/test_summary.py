"""Averages over cases and the spread of seeds, by hand."""

import pytest

from limbeck.anatomy import Region, Subset
from limbeck.errors import DataError
from limbeck.evaluation.statistics import Bootstrap
from limbeck.evaluation.summary import by_case, owners, seed_means, summarise
from limbeck.evaluation.table import Row


def rows(values, seed=0, fold=0, regions=Region):
    return [
        Row("r", "gkd", fold, seed, case, Subset.parse("t1ce"), region, "dice", value + 0.1 * region)
        for case, value in values.items()
        for region in regions
    ]


def test_folds_and_seeds_of_a_case_are_one_value():
    found = by_case([*rows({"b": 0.2, "a": 0.5}), *rows({"b": 0.4}, seed=1), *rows({"b": 0.6}, fold=1)], "dice")
    assert list(found) == ["WT", "TC", "ET", "mean"]
    assert found["WT"] == pytest.approx({"a": 0.5, "b": 0.4})
    assert found["mean"] == pytest.approx({"a": 0.6, "b": 0.5})
    assert list(found["WT"]) == ["a", "b"]


def test_a_metric_that_nobody_measured_is_nothing():
    assert by_case(rows({"a": 0.5}), "hd95_mm") == {}


def test_a_case_without_a_region_is_refused():
    with pytest.raises(DataError, match="'a' has no dice for TC, ET"):
        by_case(rows({"a": 0.5}, regions=[Region.WT]), "dice")


def test_a_summary_by_hand():
    results = rows({"a": 0.1, "b": 0.2, "c": 0.6})
    found = summarise(results, "dice", by_case(results, "dice"), None)["WT"]
    assert (found.cases, found.mean, found.median) == (3, pytest.approx(0.3), pytest.approx(0.2))
    assert found.interval == pytest.approx(Bootstrap(range(3)).of_mean([0.1, 0.2, 0.6]))
    assert found.median_interval == pytest.approx((0.1, 0.6))
    assert found.seeds is None


def test_scans_of_a_patient_are_drawn_together():
    results = rows({"a": 0.1, "b": 0.2, "c": 0.6})
    found = summarise(results, "dice", by_case(results, "dice"), {"a": "p", "b": "p", "c": "p"})["WT"]
    assert found.interval is found.median_interval is None


def test_the_spread_is_of_the_seeds_means_over_cases_that_all_have():
    results = [*rows({"a": 0.1, "b": 0.3, "only": 0.9}, seed=3), *rows({"a": 0.2, "b": 0.4}, seed=1)]
    assert seed_means(results, "dice")["WT"] == pytest.approx([0.3, 0.2])
    assert summarise(results, "dice", by_case(results, "dice"), None)["WT"].seeds == pytest.approx((0.2, 0.3))


def test_seeds_of_other_cases_have_no_spread():
    results = [*rows({"a": 0.1}), *rows({"b": 0.2}, seed=1)]
    assert seed_means(results, "dice") == {}
    assert summarise(results, "dice", by_case(results, "dice"), None)["WT"].seeds is None


def test_every_case_needs_its_patient():
    assert owners("ab", None) == ["a", "b"]
    with pytest.raises(DataError, match="'b' has no patient"):
        owners("ab", {"a": "p"})
