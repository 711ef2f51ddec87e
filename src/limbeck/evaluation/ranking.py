"""Ranking as the BraTS challenges do it: methods are ranked case by case, and the ranks are averaged.

For every case, subset, region and metric the methods are ranked; ties share the mean of their ranks. A case's rank of a
method is the mean over all of these, and the final order is by the mean over cases. Whether two methods differ is
tested by permutation: if they did not, then swapping their ranks in any patients would have been as likely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Region, Subset
from limbeck.errors import DataError
from limbeck.evaluation.comparable import Origin, by_line, origin
from limbeck.evaluation.statistics import holm
from limbeck.evaluation.summary import owners
from limbeck.evaluation.table import RAW, Row

PERMUTATIONS = 10_000

# The part of the best measured method's contests that a method must have been in. One that serves a few subsets alone
# would otherwise bring the ranking of all others down to these.
COVERAGE = 0.5

# Metric -> whether more of it is better.
RANKED = MappingProxyType({"dice": True, "hd95_mm": False})

# Case, subset, region, metric: where methods meet.
Contest: TypeAlias = tuple[str, Subset, Region, str]


@dataclass(frozen=True)
class Pair:
    """Two ranked methods, the better one first.

    Attributes:
        better: the label with the lower mean rank.
        worse: the other.
        difference: of their mean ranks, at least 0.
        p: two-sided, by permutation.
        p_holm: adjusted over all pairs.
    """

    better: str
    worse: str
    difference: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Ranking:
    """An order of methods.

    Attributes:
        places: label and mean rank, the best first; 1 is the best possible.
        pairs: every two of them.
        cases: how many cases every method was measured on.
        patients: how many patients these are of; what is permuted.
        contests: in how many of case, subset, region and metric the methods met.
        subsets: from which they were ranked: those that all of them serve.
        left_out: how many contests lacked a method and so say nothing.
        metrics: by which they were ranked.
        permutations: how many were drawn.
        origin: protocol and cohort.
        processing: of the predictions: `raw`, or a step's name.
        unranked: methods that were measured on too few contests; see `COVERAGE`.
    """

    places: tuple[tuple[str, float], ...]
    pairs: tuple[Pair, ...]
    cases: int
    patients: int
    contests: int
    subsets: tuple[Subset, ...]
    left_out: int
    metrics: tuple[str, ...]
    permutations: int
    origin: Origin
    processing: str
    unranked: tuple[str, ...]


def rank(
    rows: Iterable[Row],
    labels: Mapping[str, str] | None = None,
    patients: Mapping[str, str] | None = None,
    *,
    metrics: Mapping[str, bool] = RANKED,
    processing: str = RAW,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Ranking:
    """Rank the methods of a table of results, on what all that are ranked were measured on.

    Args:
        rows: of one protocol and cohort.
        labels: run -> label; a run without one goes by its method's name.
        patients: case -> patient; without it each case is a patient of its own.
        metrics: metric -> whether more is better. Those that no row has are left out.
        processing: which predictions compete: `raw`, or a step's name without its threshold.
        permutations: how many are drawn.
        seed: of the permutations.

    Raises:
        UsageError: the rows are of several protocols or cohorts, or a label covers several methods.
        DataError: there are fewer than two methods, none of the metrics, no contest that all methods are in, two runs
            of one label for the same, or a case without its patient.
    """
    rows = list(rows)
    shared = origin(rows)
    every = _values([row for row in rows if row.metric in metrics], labels or {}, processing)
    most = max(map(len, every.values()), default=0)
    found = {name: values for name, values in every.items() if len(values) >= COVERAGE * most}
    names = tuple(found)
    contests, left_out = _meetings(found, f"{processing} results, ranked by {', '.join(metrics)}")
    table = np.array([[found[name][contest] for name in names] for contest in contests])
    sign = np.array([-1.0 if metrics[contest[3]] else 1.0 for contest in contests])
    ranks = ranks_of(table * sign[:, None])
    cases = list(dict.fromkeys(contest[0] for contest in contests))
    by_case = _averaged(ranks, [contest[0] for contest in contests])
    final = by_case.mean(axis=0)
    by_patient, weights = _of_patients(by_case, owners(cases, patients))
    order = sorted(range(len(names)), key=lambda place: (final[place], names[place]))
    return Ranking(
        places=tuple((names[place], float(final[place])) for place in order),
        pairs=_pairs([names[place] for place in order], by_patient[:, order], weights, permutations, seed),
        cases=len(cases),
        patients=len(by_patient),
        contests=len(contests),
        subsets=tuple(subset for subset in Subset.every() if any(contest[1] == subset for contest in contests)),
        left_out=left_out,
        metrics=tuple(metric for metric in metrics if any(contest[3] == metric for contest in contests)),
        permutations=permutations,
        origin=shared,
        processing=processing,
        unranked=tuple(name for name in every if name not in found),
    )


def ranks_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks along the last axis from 1, the lowest value first; equal values share the mean of their ranks.

    Args:
        values: `[contests,methods]`.
    """
    below = (values[..., None, :] < values[..., None]).sum(axis=-1)
    equal = (values[..., None, :] == values[..., None]).sum(axis=-1)
    return np.asarray(below + (equal + 1) / 2)


def permutation_p(
    differences: NDArray[np.float64], weights: NDArray[np.float64], permutations: int, seed: int
) -> list[float]:
    """Two-sided p that a weighted mean of differences is this far from 0 when each may have either sign.

    The order that was found counts as one of the permutations, so that no p is 0.

    Args:
        differences: `[patients,pairs]`.
        weights: `[patients]`, how much of the mean each patient is.
        permutations: how many are drawn.
        seed: of the signs.
    """
    parts = differences * weights[:, None]
    observed = np.abs(parts.sum(axis=0))
    generator = np.random.default_rng(seed)
    as_far = np.ones(parts.shape[1])
    left = permutations
    while left:
        # In blocks, since all signs for a thousand patients at once would take hundreds of megabytes.
        block = min(left, max(1, 1_000_000 // len(parts)))
        signs = 2.0 * generator.integers(2, size=(block, len(parts))) - 1.0
        # A sum in another order may fall short of itself by rounding.
        as_far += (np.abs(signs @ parts) >= observed - 1e-9).sum(axis=0)
        left -= block
    return [float(count) / (permutations + 1) for count in as_far]


def _values(rows: Sequence[Row], labels: Mapping[str, str], processing: str) -> dict[str, dict[Contest, float]]:
    """Label -> contest -> value, averaged over folds and seeds; labels in the order in which they are given."""
    found: dict[str, dict[Contest, float]] = {}
    for (label, subset, name), members in by_line(rows, labels).items():
        if name != processing:
            continue
        collected: dict[Contest, list[float]] = {}
        for row in members:
            collected.setdefault((row.case, subset, row.region, row.metric), []).append(row.value)
        # Means over seeds that are equal may differ by rounding, which is no rank apart.
        means = {contest: round(sum(values) / len(values), 12) for contest, values in collected.items()}
        found.setdefault(label, {}).update(means)
    return found


def _meetings(found: Mapping[str, Mapping[Contest, float]], what: str) -> tuple[list[Contest], int]:
    """Where all methods meet, in order, and how many contests lack one of them.

    Raises:
        DataError: there are fewer than two methods, or they never meet.
    """
    names = ", ".join(found)
    if len(found) < 2:
        raise DataError(f"{what}, hold {names or 'no method'}; expected at least two methods")
    met = set.intersection(*(set(values) for values in found.values()))
    if not met:
        raise DataError(f"no case, subset and metric has results of all of {names}; expected some to rank on")
    ordered = sorted(met, key=lambda contest: (contest[0], str(contest[1]), contest[2], contest[3]))
    return ordered, len(set.union(*(set(values) for values in found.values()))) - len(met)


def _averaged(table: NDArray[np.float64], keys: Sequence[str]) -> NDArray[np.float64]:
    """The mean of the lines of each key, the keys in the order in which they first stand."""
    place = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    which = np.array([place[key] for key in keys])
    sums = np.zeros((len(place), table.shape[1]))
    np.add.at(sums, which, table)
    return np.asarray(sums / np.bincount(which)[:, None])


def _of_patients(
    by_case: NDArray[np.float64], patients: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranks by patient `[patients,methods]`, and which part of all cases is each patient's."""
    counts: dict[str, int] = {}
    for patient in patients:
        counts[patient] = counts.get(patient, 0) + 1
    return _averaged(by_case, patients), np.array(list(counts.values())) / len(patients)


def _pairs(
    names: Sequence[str], ranks: NDArray[np.float64], weights: NDArray[np.float64], permutations: int, seed: int
) -> tuple[Pair, ...]:
    """Every two methods, of names in final order and ranks `[patients,methods]` in the same."""
    places = list(combinations(range(len(names)), 2))
    differences = np.stack([ranks[:, worse] - ranks[:, better] for better, worse in places], axis=1)
    single = permutation_p(differences, weights, permutations, seed)
    distances = weights @ differences
    return tuple(
        Pair(names[better], names[worse], float(distance), p, adjusted)
        for (better, worse), distance, p, adjusted in zip(places, distances, single, holm(single), strict=True)
    )
