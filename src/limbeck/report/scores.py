"""Dice by series, subset and case: what the report's maps, strips and lists are drawn from.

A series is what one column of a map is about: a label of the comparison, raw or after a step. It takes its numbers
from the comparison's lines, so that maps and tables cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from limbeck.anatomy import Region, Subset
from limbeck.evaluation.comparable import step
from limbeck.evaluation.summary import COLUMNS, MEAN
from limbeck.evaluation.table import RAW
from limbeck.report.comparison import Comparison, Line

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
        """What heads a column: the name, with the step if there was one."""
        return self.name if self.raw else f"{self.name}, {self.processing}"

    def mean(self, subset: Subset, column: str, cases: Iterable[str] | None = None) -> float | None:
        """The mean over cases; None where nothing was measured."""
        found = self.dice.get(subset, {})
        values = [found[case][column] for case in (found if cases is None else cases)]
        return fmean(values) if values else None


def collect(comparison: Comparison) -> tuple[Series, ...]:
    """One series for each label and step: baselines first, then as the lines come, raw before processed."""
    found: dict[tuple[str, str, str], dict[Subset, dict[str, dict[str, float]]]] = {}
    for line in comparison.lines:
        cases = {case: {column: line.dice[column][case] for column in COLUMNS} for case in sorted(line.cases)}
        found.setdefault((line.label, line.method, step(line.processing)), {})[line.subset] = cases
    series = [Series(name, processing, method, dice) for (name, method, processing), dice in found.items()]
    return tuple(sorted(series, key=lambda one: (rank(one.method), not one.raw)))


def series_label(line: Line) -> str:
    """The label of the series that a line belongs to."""
    return Series(line.label, step(line.processing), line.method, {}).label


def rank(method: str) -> int:
    """A method's place among others: baselines first."""
    return BASELINES.index(method) if method in BASELINES else len(BASELINES)


def subsets_of(series: Iterable[Series]) -> tuple[Subset, ...]:
    """The subsets that any series has, in canonical order."""
    found = {subset for one in series for subset in one.dice}
    return tuple(subset for subset in Subset.every() if subset in found)


def common_cases(one: Series, other: Series, subset: Subset) -> list[str]:
    """The cases that both series were scored on, by name."""
    return sorted(set(one.dice.get(subset, {})) & set(other.dice.get(subset, {})))


def differences(one: Series, other: Series, subset: Subset, column: str) -> list[float]:
    """One's Dice minus the other's, for each case that both were scored on."""
    first, second = one.dice.get(subset, {}), other.dice.get(subset, {})
    return [first[case][column] - second[case][column] for case in common_cases(one, other, subset)]


def bounds(series: Sequence[Series]) -> tuple[Series, ...]:
    """The raw baselines that the others are held against."""
    return tuple(one for one in series if one.method in BASELINES and one.raw)
