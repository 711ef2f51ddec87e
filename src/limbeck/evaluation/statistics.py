"""Averages with intervals and paired tests over patients: who was measured is what varies, not which voxel."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 10_000
LEVEL = 0.95


class Interval(NamedTuple):
    """A confidence interval; both ends belong to it."""

    low: float
    high: float


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean.

    Raises:
        ValueError: there are no values.
    """
    return float(np.mean(_numbers(values)))


def median(values: Sequence[float]) -> float:
    """The median; of an even number of values, the middle two's mean.

    Raises:
        ValueError: there are no values.
    """
    return float(np.median(_numbers(values)))


def bootstrap_interval(
    values: Sequence[float],
    patients: Sequence[Hashable] | None = None,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """The percentile bootstrap interval of the mean, resampled by patient.

    Patients are drawn with replacement, as many as there are, and each brings all its values: scans of one patient
    resemble each other, so drawing them apart would give an interval that is too narrow. One patient tells nothing
    about others: then there is no interval.

    Args:
        values: one for each scan.
        patients: whose scan it is; without it, each scan is a patient of its own.
        level: the part of the resampled means inside the interval.
        resamples: how many means are drawn.
        seed: of the draws; the same seed and values give the same interval.

    Raises:
        ValueError: there are no values, or not one patient for each.
    """
    numbers = _numbers(values)
    owners = list(range(len(numbers))) if patients is None else list(patients)
    if len(owners) != len(numbers):
        raise ValueError(f"{len(owners)} patients for {len(numbers)} values; expected one for each")
    position = {owner: index for index, owner in enumerate(dict.fromkeys(owners))}
    if len(position) < 2:
        return None
    which = [position[owner] for owner in owners]
    sums, counts = np.bincount(which, weights=numbers), np.bincount(which)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    # In blocks, since all draws for a thousand patients at once would take hundreds of megabytes.
    for block in np.array_split(means, max(1, resamples * len(sums) // 1_000_000)):
        drawn = generator.integers(len(sums), size=(len(block), len(sums)))
        block[:] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def paired_wilcoxon(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p of the Wilcoxon signed-rank test that paired differences are symmetric about zero.

    Pairs without a difference say nothing and are left out (Wilcoxon's own rule); if none is left, p is 1.

    Args:
        first: one value for each patient.
        second: the other method's values for the same patients, in the same order.

    Raises:
        ValueError: there are no values, or the lengths differ.
    """
    difference = _numbers(first) - _paired(first, second)
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference, zero_method="wilcox").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: the smallest times their number, the next times one less, ...

    An adjusted value is never below that of a smaller p, nor above 1.
    """
    adjusted = [0.0] * len(p_values)
    floor = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        floor = max(floor, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = floor
    return adjusted


def _numbers(values: Sequence[float]) -> NDArray[np.float64]:
    if not len(values):
        raise ValueError("no values; expected at least one")
    return np.asarray(values, dtype=np.float64)


def _paired(first: Sequence[float], second: Sequence[float]) -> NDArray[np.float64]:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values against {len(second)}; expected pairs")
    return _numbers(second)
