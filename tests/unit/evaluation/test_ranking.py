"""Ranks against SciPy, orders by hand, and permutation tests against every permutation."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata

from limbeck.anatomy import Region, Subset
from limbeck.errors import DataError, UsageError
from limbeck.evaluation.ranking import permutation_p, rank, ranks_of
from limbeck.evaluation.table import Row

T1, T1CE = Subset.parse("t1"), Subset.parse("t1ce")


def rows(method, values, *, metric="dice", subset=T1CE, seed=0, regions=Region):
    """Case `c0`, `c1`, ... has its value in every region."""
    return [
        Row(f"r-{method}-{seed}", method, 0, seed, f"c{place}", subset, region, metric, float(value))
        for place, value in enumerate(values)
        for region in regions
    ]


@pytest.mark.parametrize("seed", range(5))
def test_ranks_agree_with_scipy(seed):
    values = np.random.default_rng(seed).integers(0, 4, size=(200, 6)).astype(float)
    assert np.array_equal(ranks_of(values), rankdata(values, method="average", axis=1))


def test_the_order_by_hand():
    # a wins twice and ties once with b; c is always last.
    found = rank([*rows("a", [0.9, 0.8, 0.7]), *rows("b", [0.5, 0.5, 0.7]), *rows("c", [0.1, 0.2, 0.3])])
    assert found.places == (("a", pytest.approx(3.5 / 3)), ("b", pytest.approx(5.5 / 3)), ("c", 3.0))
    assert [(pair.better, pair.worse) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found.pairs[0].difference == pytest.approx(2 / 3)
    assert (found.cases, found.contests, found.left_out) == (3, 9, 0)


def test_less_is_better_for_distances():
    near, far = rows("near", [1, 2], metric="hd95_mm"), rows("far", [3, 4], metric="hd95_mm")
    found = rank([*far, *near])
    assert found.places == (("near", 1.0), ("far", 2.0))
    assert found.metrics == ("hd95_mm",)


def test_both_metrics_weigh_the_same():
    dice = [*rows("a", [0.9, 0.9]), *rows("b", [0.5, 0.5])]
    hd95 = [*rows("a", [9, 9], metric="hd95_mm"), *rows("b", [5, 5], metric="hd95_mm")]
    found = rank([*dice, *hd95])
    assert found.places == (("a", 1.5), ("b", 1.5))
    assert found.pairs[0].p == 1.0


def test_a_case_counts_once_whatever_it_was_measured_for():
    # Case c0 was measured from two subsets, c1 from one: the mean over cases, not over contests.
    both = [*rows("a", [0.9, 0.1]), *rows("b", [0.5, 0.5])]
    more = [*rows("a", [0.9], subset=T1), *rows("b", [0.5], subset=T1)]
    assert rank([*both, *more]).places == (("a", 1.5), ("b", 1.5))


def test_only_contests_of_all_methods_count_and_the_others_are_counted():
    single = [*rows("a", [0.9, 0.9]), *rows("b", [0.5, 0.5])]
    found = rank([*single, *rows("b", [0.99, 0.99], subset=T1)])
    assert found.places[0] == ("a", 1.0)
    assert found.subsets == (T1CE,)
    assert found.left_out == 6


def test_a_method_for_few_subsets_does_not_bring_the_others_down_to_them():
    values = {"a": 0.9, "b": 0.5}
    results = [row for subset in Subset.every() for name in values for row in rows(name, [values[name]], subset=subset)]
    found = rank([*results, *rows("single", [0.99], subset=T1)])
    assert (len(found.subsets), found.contests, found.unranked) == (15, 45, ("single",))
    assert [label for label, _ in found.places] == ["a", "b"]


def test_seeds_are_averaged_before_ranks():
    seeds = [*rows("a", [0.9, 0.9], seed=0), *rows("a", [0.1, 0.1], seed=1)]
    assert rank([*seeds, *rows("b", [0.6, 0.6])]).places[0] == ("b", 1.0)


def test_equal_means_over_seeds_share_a_rank():
    thirds = [row for seed, value in enumerate((0.1, 0.2, 0.3)) for row in rows("a", [value], seed=seed)]
    assert rank([*thirds, *rows("b", [0.2])]).places == (("a", 1.5), ("b", 1.5))


def test_labels_stand_for_runs():
    found = rank([*rows("a", [0.9]), *rows("b", [0.5])], {"r-a-0": "mine"})
    assert found.places[0][0] == "mine"


@pytest.mark.parametrize("patients", [3, 6])
def test_p_by_permutation_agrees_with_all_permutations(patients):
    differences = np.random.default_rng(patients).normal(0.4, 1, size=(patients, 2))
    weights = np.full(patients, 1 / patients)
    every = np.array(list(product((-1, 1), repeat=patients)))
    exact = (np.abs(every @ differences) >= np.abs(differences.sum(axis=0)) - 1e-9).mean(axis=0)
    assert permutation_p(differences, weights, 40_000, 0) == pytest.approx(exact, abs=0.01)


def test_p_is_never_zero_and_is_seeded():
    differences, weights = np.ones((30, 1)), np.full(30, 1 / 30)
    assert permutation_p(differences, weights, 10_000, 0) == [1 / 10_001]
    noise = np.random.default_rng(0).normal(0.2, 1, size=(30, 1))
    assert permutation_p(noise, weights, 1000, 3) == permutation_p(noise, weights, 1000, 3)
    assert permutation_p(noise, weights, 1000, 3) != permutation_p(noise, weights, 1000, 4)


def test_p_of_methods_that_do_not_differ_is_even():
    generator = np.random.default_rng(1)
    found = []
    for _ in range(200):
        differences = generator.choice([-1.0, 1.0], size=(25, 1))
        found += permutation_p(differences, np.full(25, 1 / 25), 500, 0)
    assert np.mean(np.array(found) < 0.05) < 0.09


def test_scans_of_a_patient_are_swapped_together():
    results = [*rows("a", np.full(12, 0.9)), *rows("b", np.full(12, 0.5))]
    twelve = rank(results)
    four = rank(results, patients={f"c{number}": f"p{number % 4}" for number in range(12)})
    assert (twelve.patients, four.patients) == (12, 4)
    assert twelve.pairs[0].p < 0.002
    # All of four signs the same way: 2 of 16.
    assert four.pairs[0].p == pytest.approx(2 / 16, abs=0.02)


def test_a_patient_with_more_scans_keeps_the_final_difference():
    results = [*rows("a", [0.9, 0.9, 0.1]), *rows("b", [0.5, 0.5, 0.5])]
    found = rank(results, patients={"c0": "p", "c1": "p", "c2": "q"})
    assert found.pairs[0].difference == pytest.approx(found.places[1][1] - found.places[0][1])


def test_pairs_are_adjusted_by_holm():
    found = rank([*rows("a", np.full(10, 0.9)), *rows("b", np.full(10, 0.5)), *rows("c", np.full(10, 0.4))])
    assert all(pair.p_holm == pytest.approx(3 * pair.p) for pair in found.pairs)


def test_processed_predictions_are_ranked_apart():
    raw = [*rows("a", [0.9, 0.9]), *rows("b", [0.5, 0.5])]
    processed = [replace(row, processing="et>=9mm3", value=1 - row.value) for row in raw]
    assert rank([*raw, *processed]).places[0][0] == "a"
    found = rank([*raw, *processed], processing="et")
    assert (found.places[0][0], found.processing) == ("b", "et")


@pytest.mark.parametrize(
    ("results", "error", "message"),
    [
        ([], DataError, "at least two methods"),
        (rows("a", [0.9]), DataError, "hold a; expected"),
        ([*rows("a", [1], metric="msd_mm"), *rows("b", [1], metric="msd_mm")], DataError, "hold no method"),
        ([*rows("a", [0.9]), *rows("b", [0.9], subset=T1)], DataError, "all of a, b"),
        ([*rows("a", [1]), *(replace(row, run="r-b") for row in rows("a", [1]))], DataError, "'r-a-0' and 'r-b'"),
        ([*rows("a", [1]), *(replace(row, data="x") for row in rows("b", [1]))], UsageError, "one cohort"),
    ],
)
def test_what_cannot_be_ranked_is_refused(results, error, message):
    with pytest.raises(error, match=message):
        rank(results)
