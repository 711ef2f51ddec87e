"""Dice by series, subset and case: what the report's maps, strips and lists are drawn from.

A series is what one column of a map is about: a label of the comparison, raw or after a step. It takes its numbers
from the comparison's lines, so that maps and tables cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from limbeck.anatomy import Region, Subset
from limbeck.evaluation.comparable import step
from limbeck.evaluation.summary import COLUMNS, MEAN
from limbeck.evaluation.table import RAW
from limbeck.report.comparison import Comparison

# The baselines come first in every map: the method alone, and one network with sequences dropped.
LOWER_BOUND = "supervised"
BASELINES = (LOWER_BOUND, "dropout")

TITLES = {MEAN: "Mean of the regions", **{region.name: region.title.capitalize() for region in Region}}
ORDER = (MEAN, *(column for column in COLUMNS if column != MEAN))


@dataclass(frozen=True)
class Series:
    """The Dice of one label, raw or after a step.

    Attributes:
        name: the label that the runs share.
        processing: `raw`, or a step without its threshold.
        method: the method's name.
        dice: subset -> case -> column of `COLUMNS` -> Dice, averaged over the case's folds and seeds.
    """

    name: str
    processing: str
    method: str
    dice: Mapping[Subset, Mapping[str, Mapping[str, float]]]

    @property
    def raw(self) -> bool:
        """Whether nothing was done to the predictions."""
        return self.processing == RAW

    @property
    def label(self) -> str:
        """What heads a column: the name, with the step if there was one, as in `Line.series`."""
        return self.name if self.raw else f"{self.name}, {self.processing}"

    def mean(self, subset: Subset, column: str) -> float | None:
        """The mean over cases; None where nothing was measured."""
        values = [columns[column] for columns in self.dice.get(subset, {}).values()]
        return fmean(values) if values else None


def collect(comparison: Comparison) -> tuple[Series, ...]:
    """One series for each label and step: baselines first, then as the lines come, raw before processed."""
    found: dict[tuple[str, str, str], dict[Subset, dict[str, dict[str, float]]]] = {}
    for line in comparison.lines:
        cases = {case: {column: line.dice[column][case] for column in COLUMNS} for case in sorted(line.cases)}
        found.setdefault((line.label, line.method, step(line.processing)), {})[line.subset] = cases
    series = [Series(name, processing, method, dice) for (name, method, processing), dice in found.items()]
    return tuple(sorted(series, key=lambda one: (rank(one.method), not one.raw)))


def rank(method: str) -> int:
    """A method's place among others: baselines first."""
    return BASELINES.index(method) if method in BASELINES else len(BASELINES)


def subsets_of(series: Iterable[Series]) -> tuple[Subset, ...]:
    """The subsets that any series has, in canonical order."""
    found = {subset for one in series for subset in one.dice}
    return tuple(subset for subset in Subset.every() if subset in found)


def paired(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    """Ours minus theirs for each case that both have, the cases sorted.

    Means over seeds that are equal may differ by rounding, which is neither better nor worse.
    """
    return {case: round(ours[case] - theirs[case], 12) for case in sorted(ours.keys() & theirs.keys())}


def differences(one: Series, other: Series, subset: Subset, column: str) -> list[float]:
    """One's Dice minus the other's, for each case that both were scored on."""
    ours, theirs = (
        {case: columns[column] for case, columns in each.dice.get(subset, {}).items()} for each in (one, other)
    )
    return list(paired(ours, theirs).values())


def bounds(series: Iterable[Series]) -> tuple[Series, ...]:
    """The baselines that others are held against, raw and after each step."""
    return tuple(one for one in series if one.method in BASELINES)


def held_against(bound: Series, series: Iterable[Series]) -> list[Series]:
    """The series that a bound is subtracted from: those by its own step that share a case with it, itself left out.

    What a step gains is no gain of the method.
    """
    return [
        one
        for one in series
        if one is not bound
        and one.processing == bound.processing
        and any(differences(one, bound, subset, MEAN) for subset in bound.dice)
    ]
