"""Intervals and tests against closed forms, hand-made numbers and SciPy."""

import numpy as np
import pytest
from scipy import stats

from limbeck.evaluation.statistics import Bootstrap, holm, mean, median, paired_wilcoxon


def interval_of(values, patients=None, **drawn):
    """Of the mean; without patients, each value is another one's."""
    return Bootstrap(range(len(values)) if patients is None else patients, **drawn).of_mean(values)


def test_mean_and_median():
    assert mean([1, 2, 6]) == 3
    assert median([6, 1, 2]) == 2
    assert median([6, 1, 2, 3]) == 2.5


@pytest.mark.parametrize("function", [mean, median, interval_of])
def test_nothing_has_no_average(function):
    with pytest.raises(ValueError, match="no values"):
        function([])


def test_the_interval_agrees_with_scipy():
    values = np.random.default_rng(0).beta(8, 2, 40)
    ours = interval_of(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, random_state=1)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.003)


def test_the_interval_is_seeded_ordered_and_around_the_mean():
    values = np.random.default_rng(2).normal(size=25)
    interval = interval_of(values, seed=5)
    assert interval == interval_of(values, seed=5)
    assert interval != interval_of(values, seed=6)
    assert interval.low < values.mean() < interval.high
    narrow = interval_of(values, level=0.5)
    assert interval.low < narrow.low < narrow.high < interval.high


def test_many_patients_are_drawn_in_blocks_without_changing_what_is_estimated():
    values = np.random.default_rng(3).normal(size=1500)
    low, high = interval_of(values, resamples=4000)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(1500), rel=0.08)


def test_scans_of_one_patient_are_drawn_together():
    values = np.random.default_rng(1).normal(size=30)
    alone = interval_of(values)
    four_times = interval_of(np.repeat(values, 4), np.repeat(np.arange(30), 4))
    pretended = interval_of(np.repeat(values, 4))
    assert four_times == pytest.approx(alone)
    assert pretended.high - pretended.low < 0.6 * (alone.high - alone.low)


def test_patients_bring_all_their_scans():
    # Two patients, three and one scan: the resampled mean is 0, 0.75 or 1... weighted by scans, not by patients.
    low, high = interval_of([0.0, 0.0, 0.0, 1.0], ["a", "a", "a", "b"])
    assert (low, high) == (0.0, 1.0)
    middle = interval_of([0.0, 0.0, 0.0, 1.0], ["a", "a", "a", "b"], level=0.2)
    assert middle == (0.25, 0.25)


@pytest.mark.parametrize("size", [20, 21])
def test_the_medians_interval_agrees_with_scipy(size):
    values = np.random.default_rng(4).normal(size=size)
    theirs = stats.bootstrap((values,), np.median, method="percentile", n_resamples=20_000, random_state=1)
    assert Bootstrap(range(size)).of_median(values) == pytest.approx(tuple(theirs.confidence_interval), abs=0.06)


@pytest.mark.parametrize("size", [4, 5])
def test_the_median_of_a_draw_is_that_of_its_values(size):
    # Every draw spelt out: the middle value, or the middle two's mean, also where a patient is drawn more than once.
    values = np.array([0.3, 0.1, 0.7, 0.2, 0.9])[:size]
    owner = [0, 0, 1, 2, 2][:size]
    draws = np.random.default_rng(7).integers(3, size=(500, 3))
    spelt = [np.median(np.concatenate([values[np.array(owner) == who] for who in draw])) for draw in draws]
    wanted = np.quantile(spelt, [0.025, 0.975])
    assert Bootstrap(owner, resamples=500, seed=7).of_median(values) == pytest.approx(tuple(wanted))


@pytest.mark.parametrize(("size", "people"), [(400, 400), (401, 401), (400, 130), (300, 4)])
def test_the_median_of_a_draw_is_found_wherever_it_lies(size, people):
    # Of many values only the middle ones are gone through; a few people with many scans each move it out of them.
    owner = np.arange(size) % people
    values = np.random.default_rng(6).random(size) + owner * (people == 4)
    draws = np.random.default_rng(8).integers(people, size=(200, people))
    spelt = [np.median(np.concatenate([values[who::people] for who in draw])) for draw in draws]
    wanted = np.quantile(spelt, [0.025, 0.975])
    assert Bootstrap(owner.tolist(), resamples=200, seed=8).of_median(values) == pytest.approx(tuple(wanted))


def test_whatever_was_measured_on_the_same_scans_sees_the_same_draws():
    values = np.random.default_rng(5).normal(size=15)
    first, second = Bootstrap(range(15)), Bootstrap([f"p{number}" for number in range(15)])
    assert first.of_mean(values) == second.of_mean(values)
    low, high = first.of_mean(-values)
    assert (-high, -low) == pytest.approx(first.of_mean(values))


@pytest.mark.parametrize("measure", [Bootstrap.of_mean, Bootstrap.of_median])
def test_both_intervals_need_two_patients_and_a_value_for_each_scan(measure):
    assert measure(Bootstrap(["a"]), [0.5]) is None
    assert measure(Bootstrap(["a", "a"]), [0.5, 0.9]) is None
    with pytest.raises(ValueError, match="2 patients for 3 values"):
        measure(Bootstrap(["a", "b"]), [1, 2, 3])


def test_wilcoxon_by_hand():
    # Six pairs, all in one direction: the exact two-sided p is 2 / 2^6.
    assert paired_wilcoxon([2, 4, 6, 8, 10, 12], [1, 2, 3, 4, 5, 6]) == pytest.approx(2 / 64)
    assert paired_wilcoxon([1, 2, 3, 4, 5, 6], [2, 4, 6, 8, 10, 12]) == pytest.approx(2 / 64)


def test_wilcoxon_leaves_ties_out():
    with_ties = paired_wilcoxon([0, 0, 2, 4, 6, 8, 10, 12], [0, 0, 1, 2, 3, 4, 5, 6])
    assert 0.02 < with_ties < 0.04
    assert paired_wilcoxon([1, 2, 3], [1, 2, 3]) == 1.0


def test_wilcoxon_is_exact_over_what_is_left_of_many():
    # All five signs alike: 2 of 2^5, however many others do not differ.
    assert paired_wilcoxon([0.0] * 15 + [1, 2, 3, 4, 5], [0.0] * 20) == pytest.approx(2 / 32)


def test_wilcoxon_needs_pairs():
    with pytest.raises(ValueError, match="pairs"):
        paired_wilcoxon([1, 2, 3], [1, 2])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
