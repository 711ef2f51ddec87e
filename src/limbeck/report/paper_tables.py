"""A paper's table in the paper's layout: its numbers as printed, and ours beside them, marked.

Ours never were measured on the paper's cases by the paper's rules to the letter, so every number of ours carries a
mark, and the caption says what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from limbeck.anatomy import Modality, Subset
from limbeck.evaluation.published import PublishedRow, PublishedTable, read, tables
from limbeck.evaluation.statistics import LEVEL
from limbeck.evaluation.summary import Summary
from limbeck.evaluation.table import RAW, Row, definition
from limbeck.methods import METHODS
from limbeck.report import grid as grids
from limbeck.report.comparison import Comparison, compare
from limbeck.report.grid import ABSENT, Column, Grid

OURS = "†"
PRESENT, MISSING = "●", "○"

# Which layout each paper chose; every other table has a line for each system and setting.
_SUBSETS_DOWN = frozenset({"gkd-table1", "gkd-table2", "rirn-table1", "rirn-table2", "rirn-table3"})
_SUBSETS_ACROSS = frozenset({"pkdr-table1"})

_COUNTS = {"parameters_millions": "parameters (millions)", "gmac": "multiply-accumulates (10^9)"}


class Ours:
    """Our results as the cells of a paper's table; it remembers which of them were shown."""

    def __init__(self, comparison: Comparison | None, metric: str, decimals: int) -> None:
        """Take our lines, if there are any, what stands beside the paper's Dice, and the paper's decimals."""
        self.comparison = comparison
        self.metric = metric
        self.decimals = decimals
        self.shown: list[tuple[str, Subset, str]] = []
        lines = comparison.lines if comparison else ()
        self._lines = {
            (line.label, line.subset): line.summaries[metric]
            for line in lines
            if line.processing == RAW and metric in line.summaries
        }

    def labels(self, subsets: Iterable[Subset | None]) -> list[str]:
        """What was measured from any of the subsets, in the order of the lines."""
        wanted = set(subsets)
        return list(dict.fromkeys(label for label, subset in self._lines if subset in wanted))

    def summary(self, label: str, subset: Subset, region: str) -> Summary | None:
        """What is known; nothing where it was not measured."""
        return self._lines.get((label, subset), {}).get(region)

    def cell(self, label: str, subset: Subset | None, region: str) -> str:
        """The mean in percent; without a subset the mean over all 15, if all were measured."""
        wanted = Subset.every() if subset is None else (subset,)
        found = [summary.mean for each in wanted if (summary := self.summary(label, each, region))]
        if len(found) < len(wanted):
            return ABSENT
        self.shown += [(label, each, region) for each in wanted]
        return self.percent(sum(found) / len(found))

    def percent(self, value: float) -> str:
        """A Dice as the paper would print it."""
        return f"{100 * value:.{self.decimals}f}"


def render(
    id: str,
    rows: Iterable[Row],
    format: str,
    labels: Mapping[str, str] | None = None,
    patients: Mapping[str, str] | None = None,
) -> str:
    """A paper's table with our results beside it, as text.

    Args:
        id: a table of `evaluation.published.tables`, such as `rirn-table1`.
        rows: our results, of one protocol and cohort; none gives the paper's table alone.
        format: one of `grid.FORMATS`: markdown, csv, latex or html.
        labels: run -> label, as for `compare`; a label `gkd, VARIANT` stands beside that variant of the paper.
        patients: case -> patient, as for `compare`.

    Raises:
        UsageError: the table or the format is unknown, or the rows are of several protocols or cohorts.
        DataError: the rows cannot be summarised.
    """
    grids.check_format(format)
    raw = [row for row in rows if row.processing == RAW]
    comparison = compare(raw, labels, patients) if raw else None
    found = grid(id, comparison)
    if format == "csv" and comparison:
        found = _with_origin(found, comparison)
    return grids.render(found, format)


def grid(id: str, comparison: Comparison | None) -> Grid:
    """A paper's table with our results beside it, before its format.

    Args:
        id: a table of `evaluation.published.tables`.
        comparison: our results, of which the lines before any processing are shown; none gives the paper's alone.

    Raises:
        UsageError: the table is unknown.
    """
    published = read(id)
    table = tables()[id]
    printed = [row.value for row in published if row.measure == "dice_percent"]
    decimals = max((len(value.partition(".")[2]) for value in printed), default=1)
    ours = Ours(comparison, "legacy_slice_mean" if table.paper == "mtcmkd" else "dice", decimals)
    if id in _SUBSETS_DOWN:
        columns, lines, rules = _subsets_down(published, ours)
    elif id in _SUBSETS_ACROSS:
        columns, lines, rules = _subsets_across(published, ours)
    else:
        columns, lines, rules = _systems_down(published, ours)
    title = f"{table.title} ({table.source})"
    return Grid(title, tuple(columns), tuple(lines), tuple(_caption(table, ours)), frozenset(rules))


_Parts: TypeAlias = tuple[list[Column], list[tuple[str, ...]], set[int]]
T = TypeVar("T")


def _subsets_down(published: Sequence[PublishedRow], ours: Ours) -> _Parts:
    """A line for each subset, its sequences as dots; a group of columns for each region; the means last."""
    values = {(row.method, row.subset, row.region): row.value for row in published}
    subsets, regions = _unique(row.subset for row in published), _unique(row.region for row in published)
    systems = _systems(published, ours)
    columns = _dot_columns()
    columns += [Column(f"{name} {OURS}" if mine else name, region) for region in regions for name, mine in systems]
    lines = []
    for subset in subsets:
        cells = [
            ours.cell(name, subset, region) if mine else values.get((name, subset, region), ABSENT)
            for region in regions
            for name, mine in systems
        ]
        lines.append((*_dots(subset), *cells))
    return columns, lines, {place for place, subset in enumerate(subsets) if subset is None and place > 0}


def _subsets_across(published: Sequence[PublishedRow], ours: Ours) -> _Parts:
    """A line for each system, ours below the paper's; a group of columns for each subset."""
    values = {(row.method, row.subset, row.region): row.value for row in published}
    subsets, regions = _unique(row.subset for row in published), _unique(row.region for row in published)
    columns = [Column("System", number=False)]
    columns += [Column(region, _subset_text(subset)) for subset in subsets for region in regions]
    lines = []
    for name, mine in _systems(published, ours):
        cells = [
            ours.cell(name, subset, region) if mine else values.get((name, subset, region), ABSENT)
            for subset in subsets
            for region in regions
        ]
        lines.append((f"{name} {OURS}" if mine else name, *cells))
    return columns, lines, set()


def _systems_down(published: Sequence[PublishedRow], ours: Ours) -> _Parts:
    """A line for each system, setting and subset; the paper's number and ours for each region."""
    values = {(row.method, row.variant, row.subset, row.region, row.measure): row.value for row in published}
    heads = _unique((row.region, row.measure) for row in published)
    subsets = any(row.subset is not None for row in published)
    variants = any(row.variant for row in published)
    columns = [Column("System", number=False)] + [Column("Setting", number=False)] * variants
    columns += _dot_columns() if subsets else []
    for region, measure in heads:
        group = region or _COUNTS[measure]
        columns += [Column("paper", group), Column(f"ours {OURS}", group)]
    lines = []
    for name, variant, subset in _unique((row.method, row.variant, row.subset) for row in published):
        label = _label(name, variant)
        cells = []
        for region, measure in heads:
            cells.append(values.get((name, variant, subset, region, measure), ABSENT))
            cells.append(ours.cell(label, subset, region) if measure == "dice_percent" else ABSENT)
        lines.append((name, *[variant] * variants, *(_dots(subset) if subsets else ()), *cells))
    return columns, lines, set()


def _systems(published: Sequence[PublishedRow], ours: Ours) -> list[tuple[str, bool]]:
    """Names and whether the numbers are ours: each system that Limbeck has beside itself, then what else we measured.

    A system of ours that was not measured keeps its column, so that the gap is seen.
    """
    printed = _unique(row.method for row in published)
    found = []
    for name in printed:
        found.append((name, False))
        if name in METHODS:
            found.append((name, True))
    others = [label for label in ours.labels(row.subset for row in published) if label not in printed]
    return found + [(label, True) for label in others]


def _label(method: str, variant: str) -> str:
    """The label of our runs that stand beside a system: its own name, unless the paper changed a setting.

    A teacher that learnt by the segmentation alone is our network of all sequences.
    """
    return method if variant in ("", "teacher") else f"{method}, {variant}"


def _dot_columns() -> list[Column]:
    return [Column(modality.title, number=False) for modality in Modality]


def _dots(subset: Subset | None) -> tuple[str, ...]:
    """A dot for each sequence: full where it was given. The line of means says so in their place."""
    if subset is None:
        return ("mean", *[""] * (len(Modality) - 1))
    return tuple(PRESENT if modality in subset else MISSING for modality in Modality)


def _subset_text(subset: Subset | None) -> str:
    if subset is None:
        return "mean"
    return "all" if len(subset) == len(Modality) else "+".join(modality.title for modality in sorted(subset))


def _with_origin(found: Grid, comparison: Comparison) -> Grid:
    """With the rules and the cohort of our numbers in every record, since a CSV file has no caption."""
    columns = (*found.columns, Column(f"protocol {OURS}", number=False), Column(f"data {OURS}", number=False))
    return replace(found, columns=columns, lines=tuple((*line, *comparison.origin) for line in found.lines))


def _caption(table: PublishedTable, ours: Ours) -> list[str]:
    sentences = [
        f"The paper's numbers are as printed. Cases: {table.dataset}. Split: {table.split}. Rules: "
        f"{table.crop_and_metric}.",
        *([table.notes] if table.notes else []),
        f"{ABSENT}: not printed, or not measured.",
    ]
    if ours.comparison is None or not ours.shown:
        return [
            *sentences,
            f"{OURS} marks what Limbeck measured, which is nothing here: the results hold no {ours.metric} of these "
            "systems from these sequences.",
        ]
    rules = (
        "by the paper's rules as far as they can be followed"
        if ours.comparison.origin.protocol.startswith(f"{table.paper}-as-published")
        else "by other rules than the paper's"
    )
    return [
        *sentences,
        f"{OURS} Measured by Limbeck, {ours.metric} in percent before any processing, {rules}, and on other cases "
        f"({ours.comparison.origin.cohort}): the numbers stand side by side, and no difference between a paper's and "
        "ours means anything by itself.",
        _certainty(ours),
        *ours.comparison.basis,
        *([] if ours.metric == "dice" else [definition(ours.metric)]),
    ]


def _certainty(ours: Ours) -> str:
    """How sure the numbers of ours in this table are, at worst: their intervals would not fit into its layout."""
    widest, where = -1.0, ""
    for label, subset, region in ours.shown:
        found = ours.summary(label, subset, region)
        if found and found.interval and found.interval.high - found.interval.low > widest:
            widest = found.interval.high - found.interval.low
            ends = f"{ours.percent(found.interval.low)}, {ours.percent(found.interval.high)}"
            where = f"{label}, {_subset_text(subset)}, {region}: [{ends}]"
    if not where:
        return f"A number marked {OURS} has no interval: there is one patient."
    return f"Of the numbers marked {OURS}, the widest {LEVEL:.0%} interval by patient (bootstrap) is {where}."


def _unique(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
