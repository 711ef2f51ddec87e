"""Averages with intervals and paired tests over patients: who was measured is what varies, not which voxel."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 10_000
LEVEL = 0.95
# Where medians of draws lie, in roots of the number of values from the middle: six deviations, if each value is another
# patient's.
_REACH = 3.0


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


class Bootstrap:
    """Percentile bootstrap intervals of whatever was measured on the same scans, resampled by patient.

    Patients are drawn with replacement, as many as there are, and each brings all its values: scans of one patient
    resemble each other, so drawing them apart would give an interval that is too narrow. One patient tells nothing
    about others: then there is no interval. Everything that is measured on the same scans sees the same draws.
    """

    def __init__(
        self, patients: Sequence[Hashable], *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
    ) -> None:
        """Say whose scans the values will be.

        Args:
            patients: one entry for each scan.
            level: the part of what was drawn that is inside the interval.
            resamples: how often patients are drawn.
            seed: of the draws; the same seed and values give the same interval.
        """
        position = {owner: index for index, owner in enumerate(dict.fromkeys(patients))}
        self._owner = np.array([position[owner] for owner in patients], dtype=np.intp)
        self._patients = len(position)
        self._draws = (resamples, seed)
        self._ends = ((1 - level) / 2, (1 + level) / 2)

    def of_mean(self, values: Sequence[float]) -> Interval | None:
        """The interval of the mean; nothing for one patient.

        Raises:
            ValueError: there are no values, or not one for each scan.
        """
        numbers = self._checked(values)
        if self._patients < 2:
            return None
        sums = np.bincount(self._owner, weights=numbers)
        scans = np.bincount(self._owner).astype(np.float64)
        means = [counts @ sums / (counts @ scans) for counts in (block.astype(np.float64) for block in self._blocks())]
        return self._interval(means)

    def of_median(self, values: Sequence[float]) -> Interval | None:
        """The interval of the median; nothing for one patient.

        Raises:
            ValueError: there are no values, or not one for each scan.
        """
        numbers = self._checked(values)
        if self._patients < 2:
            return None
        order = np.argsort(numbers, kind="stable")
        ordered, owner = numbers[order], self._owner[order]
        medians = []
        for counts in self._blocks():
            lower, upper = _middle(counts, owner)
            medians.append((ordered[lower] + ordered[upper]) / 2)
        return self._interval(medians)

    def _checked(self, values: Sequence[float]) -> NDArray[np.float64]:
        numbers = _numbers(values)
        if len(self._owner) != len(numbers):
            raise ValueError(f"{len(self._owner)} patients for {len(numbers)} values; expected one for each")
        return numbers

    def _blocks(self) -> list[NDArray[np.unsignedinteger[Any]]]:
        """How often each patient was drawn, `[resamples,patients]`, some resamples at a time."""
        counts = _counts(self._patients, *self._draws)
        return np.array_split(counts, _parts(*counts.shape))

    def _interval(self, drawn: Sequence[NDArray[np.float64]]) -> Interval:
        low, high = np.quantile(np.concatenate(drawn), self._ends)
        return Interval(float(low), float(high))


# A table has many cells over equally many patients: drawing anew for each would take most of its time.
@lru_cache(maxsize=4)
def _counts(patients: int, resamples: int, seed: int) -> NDArray[np.unsignedinteger[Any]]:
    """How often each patient is drawn, `[resamples,patients]`, each line's sum being the number of patients."""
    generator = np.random.default_rng(seed)
    counts = np.empty((resamples, patients), dtype=np.min_scalar_type(patients))
    # In blocks, since all draws for a thousand patients at once would take hundreds of megabytes.
    for block in np.array_split(counts, _parts(resamples, patients)):
        drawn = generator.integers(patients, size=block.shape)
        drawn += patients * np.arange(len(block))[:, None]
        block[:] = np.bincount(drawn.ravel(), minlength=block.size).reshape(block.shape)
    return counts


def _middle(counts: NDArray[np.unsignedinteger[Any]], owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where the middle two of each draw's values stand among all values in order, `[2,resamples]`.

    A patient who is drawn twice brings the values twice: it is the middle of the values by their counts.

    Args:
        counts: how often each patient was drawn, `[resamples,patients]`.
        owner: the patient of each value, the values in ascending order, `[values]`.
    """
    # The middle of a draw lies near the middle of all, so that the values there are enough.
    reach = round(_REACH * math.sqrt(len(owner)))
    first, last = max(len(owner) // 2 - reach, 0), min(len(owner) // 2 + reach, len(owner))
    begun = _drawn(counts, owner[:first])
    reached = begun[:, None] + np.cumsum(counts[:, owner[first:last]], axis=1, dtype=np.int32)
    whole = _drawn(counts, owner)
    # Patients with very many scans each may move it further.
    if (first and (2 * begun >= whole).any()) or (last < len(owner) and (2 * reached[:, -1] <= whole).any()):
        first, reached = 0, np.cumsum(counts[:, owner], axis=1, dtype=np.int32)
    reached *= 2
    return first + np.stack([(reached < whole[:, None]).sum(axis=1), (reached <= whole[:, None]).sum(axis=1)])


def _drawn(counts: NDArray[np.unsignedinteger[Any]], owner: NDArray[np.intp]) -> NDArray[np.int32]:
    """How many of these values each draw holds, `[resamples]`."""
    scans = np.bincount(owner, minlength=counts.shape[1]).astype(np.float32)
    # A product of floats is much faster, and exact: whole numbers below 2^24.
    return (counts.astype(np.float32) @ scans).astype(np.int32)


def _parts(resamples: int, patients: int) -> int:
    """How many blocks of about a million draws there are."""
    return max(1, resamples * patients // 1_000_000)


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
    # By ourselves: SciPy would count them when it chooses between the exact p and the normal approximation.
    difference = difference[difference != 0]
    if not len(difference):
        return 1.0
    return float(stats.wilcoxon(difference).pvalue)


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
