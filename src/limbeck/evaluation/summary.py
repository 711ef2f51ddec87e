"""What is known of a metric over cases: averages, intervals by patient, and how far the seeds lie apart.

A case counts once, by the mean over its folds and seeds: two trainings on the same patients are not two patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from limbeck.anatomy import Region
from limbeck.errors import DataError
from limbeck.evaluation import statistics
from limbeck.evaluation.statistics import Bootstrap, Interval
from limbeck.evaluation.table import Row

MEAN = "mean"
COLUMNS = (*(region.name for region in Region), MEAN)

# Column of `COLUMNS` -> case -> value.
Values: TypeAlias = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Summary:
    """One metric of one region, or of the mean over the three, over cases.

    Attributes:
        cases: how many.
        mean: over the cases.
        interval: of the mean, by patient; none for one patient.
        median: over the cases.
        median_interval: of the median, by patient; none for one patient.
        seeds: the lowest and the highest of the seeds' means over the cases that all seeds have; none for one seed.
    """

    cases: int
    mean: float
    interval: Interval | None
    median: float
    median_interval: Interval | None
    seeds: Interval | None


def by_case(rows: Iterable[Row], metric: str) -> dict[str, dict[str, float]]:
    """A metric by column and case, averaged over folds and seeds; the mean column averages a case's three regions.

    Returns:
        Column -> case -> value, the cases sorted; empty where no row has the metric.

    Raises:
        DataError: a case lacks a region.
    """
    values: dict[str, dict[Region, list[float]]] = {}
    for row in rows:
        if row.metric == metric:
            values.setdefault(row.case, {}).setdefault(row.region, []).append(row.value)
    columns: dict[str, dict[str, float]] = {name: {} for name in COLUMNS} if values else {}
    for case, regions in sorted(values.items()):
        missing = [region.name for region in Region if region not in regions]
        if missing:
            raise DataError(f"case {case!r} has no {metric} for {', '.join(missing)}; expected all three regions")
        means = [sum(regions[region]) / len(regions[region]) for region in Region]
        for name, value in zip(COLUMNS, (*means, sum(means) / len(means)), strict=True):
            columns[name][case] = value
    return columns


def owners(cases: Iterable[str], patients: Mapping[str, str] | None) -> list[str]:
    """The patient of each case; without `patients`, each case is a patient of its own.

    Raises:
        DataError: a case has no patient.
    """
    if patients is None:
        return list(cases)
    found = []
    for case in cases:
        if case not in patients:
            raise DataError(f"case {case!r} has no patient; expected one for every case")
        found.append(patients[case])
    return found


def summarise(
    rows: Sequence[Row], metric: str, values: Values, patients: Mapping[str, str] | None
) -> dict[str, Summary]:
    """Every column's summary.

    Args:
        rows: of one line of a table, of whatever metrics.
        metric: the one to summarise.
        values: `by_case(rows, metric)`.
        patients: case -> patient; without it each case is a patient of its own.

    Raises:
        DataError: a case has no patient, or lacks a region in one of the seeds.
    """
    repeated = len({row.seed for row in rows}) > 1
    seeds = seed_means(rows, metric) if repeated else {}
    found = {}
    for column, of_cases in values.items():
        numbers = list(of_cases.values())
        draws = Bootstrap(owners(of_cases, patients))
        found[column] = Summary(
            cases=len(numbers),
            mean=statistics.mean(numbers),
            interval=draws.of_mean(numbers),
            median=statistics.median(numbers),
            median_interval=draws.of_median(numbers),
            seeds=Interval(min(seeds[column]), max(seeds[column])) if len(seeds.get(column, ())) > 1 else None,
        )
    return found


def seed_means(rows: Iterable[Row], metric: str) -> dict[str, list[float]]:
    """Column -> each seed's mean over the cases that all seeds have, seeds ascending; empty if they share none.

    Raises:
        DataError: a case lacks a region in one of the seeds.
    """
    parts: dict[int, list[Row]] = {}
    for row in rows:
        if row.metric == metric:
            parts.setdefault(row.seed, []).append(row)
    by_seed = [by_case(parts[seed], metric) for seed in sorted(parts)]
    shared = set.intersection(*(set(values[MEAN]) for values in by_seed)) if by_seed else set()
    if not shared:
        return {}
    cases = sorted(shared)
    return {
        column: [statistics.mean([values[column][case] for case in cases]) for values in by_seed] for column in COLUMNS
    }
