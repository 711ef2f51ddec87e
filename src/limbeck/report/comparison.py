"""Results side by side: one line for each label, subset and processing, and the sentences that must stand below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from limbeck.anatomy import Region, Subset
from limbeck.errors import DataError, UsageError
from limbeck.evaluation import statistics
from limbeck.evaluation.comparable import Origin, by_line, origin, step
from limbeck.evaluation.protocol import find
from limbeck.evaluation.statistics import Interval
from limbeck.evaluation.summary import MEAN, Summary, Values, by_case, owners, summarise
from limbeck.evaluation.table import EMPTY_POLICY, HD95_DEFINITION, NOTES, RAW, Row, definition

CELLS = (
    f"A cell gives the mean Dice [{statistics.LEVEL:.0%} interval by patient: percentile bootstrap of the mean, "
    f"{statistics.RESAMPLES} resamples] and, in mm, the median HD95. "
    f"The column {MEAN} averages WT, TC and ET case by case."
)
# What cells may show, the first that was measured, and what it is called.
MEASURES = {"dice": "Dice", "legacy_slice_mean": "slice mean"}
DO_NOT_COMPARE = "The results were not measured on the same cases: do not compare them."


@dataclass(frozen=True)
class Cell:
    """What the table shows of one region, or of the mean over the three.

    Attributes:
        dice: the mean over cases.
        interval: of that mean, by patient; none for one patient.
        hd95_mm: the median over cases; none where it was not measured.
        seeds: the lowest and the highest of the seeds' mean Dice; none for one seed.
    """

    dice: float
    interval: Interval | None
    hd95_mm: float | None
    seeds: Interval | None


@dataclass(frozen=True)
class Line:
    """All runs of one label from one subset, by one way of processing.

    Attributes:
        label: the runs' label, such as teacher, alone or distilled.
        method: the runs' method.
        subset: the sequences that the prediction saw.
        processing: `raw`, or the names of the step that the runs chose, joined by commas.
        folds: of the runs, ascending.
        seeds: of the runs, ascending.
        main: the metric that cells show as Dice; see `main_metric`.
        values: metric -> column of `COLUMNS` -> case -> value, averaged over the case's folds and seeds.
        summaries: metric -> column of `COLUMNS` -> averages, intervals and spread.
        predictions: how many predictions were scored: cases times folds and seeds.
        empty: region -> note of `evaluation.table.NOTES` -> in how many predictions.
    """

    label: str
    method: str
    subset: Subset
    processing: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    main: str
    values: Mapping[str, Values]
    summaries: Mapping[str, Mapping[str, Summary]]
    predictions: int
    empty: Mapping[Region, Mapping[str, int]]

    @property
    def title(self) -> str:
        """The label, and the processing where there was one."""
        return self.label if self.processing == RAW else f"{self.label}, {self.processing}"

    @property
    def series(self) -> str:
        """The label, and the step without its threshold, which may differ from run to run."""
        return self.label if self.processing == RAW else f"{self.label}, {step(self.processing)}"

    @property
    def dice(self) -> Values:
        """Column of `COLUMNS` -> case -> Dice, averaged over the case's folds and seeds."""
        return self.values[self.main]

    @property
    def cells(self) -> dict[str, Cell]:
        """Column of `COLUMNS` -> what the table shows."""
        hd95 = self.summaries.get("hd95_mm", {})
        return {
            column: Cell(found.mean, found.interval, hd95[column].median if column in hd95 else None, found.seeds)
            for column, found in self.summaries[self.main].items()
        }

    @property
    def empty_text(self) -> str:
        """How often a region was empty, by region and side."""
        return _empty_text(self.empty, self.predictions)

    @property
    def cases(self) -> frozenset[str]:
        """The cases that were scored."""
        return frozenset(self.dice[MEAN])


@dataclass(frozen=True)
class Comparison:
    """Lines, and the sentences that must stand under them.

    Attributes:
        lines: by label, subset and processing.
        caption: sentences.
        origin: the protocol and cohort that all lines share.
        patients: case -> patient; none where each case is a patient of its own.
    """

    lines: tuple[Line, ...]
    caption: tuple[str, ...]
    origin: Origin
    patients: Mapping[str, str] | None

    @property
    def measure(self) -> str:
        """What cells show: a value of `MEASURES`."""
        return MEASURES[self.lines[0].main]

    @property
    def basis(self) -> tuple[str, ...]:
        """The sentences that hold for any other table of the same rows too."""
        return tuple(sentence for sentence in self.caption if sentence != CELLS)


def compare(
    rows: Iterable[Row], labels: Mapping[str, str] | None = None, patients: Mapping[str, str] | None = None
) -> Comparison:
    """Summarise results, one line for each label, subset and processing, raw and processed side by side.

    Args:
        rows: of one protocol and cohort (`comparable.split` parts others), with metric `dice` for every region, and
            whatever else was measured.
        labels: run -> label; lines come in the order of its values. A run without a label goes by its method's name.
        patients: case -> patient, for cohorts with several scans of a patient; without it each case is a patient.

    Raises:
        DataError: there is no Dice, a case lacks a region or a patient, or one line covers the same fold, seed and
            case twice.
        UsageError: the rows are of several protocols or cohorts, or a label covers several methods.
    """
    labels = labels or {}
    rows = list(rows)
    shared = origin(rows)
    groups = by_line(rows, labels)
    main = main_metric(rows)
    wanted = {
        label: place for place, label in enumerate(dict.fromkeys([*labels.values(), *(key[0] for key in groups)]))
    }
    subsets = {subset: place for place, subset in enumerate(Subset.every())}
    ordered = sorted(groups, key=lambda key: (wanted[key[0]], subsets[key[1]], key[2] != RAW, key[2]))
    lines = tuple(_line(label, subset, groups[label, subset, name], main, patients) for label, subset, name in ordered)
    return Comparison(lines, _caption(lines, patients, shared), shared, patients)


def _line(label: str, subset: Subset, rows: Sequence[Row], main: str, patients: Mapping[str, str] | None) -> Line:
    values = {metric: by_case(rows, metric) for metric in sorted({row.metric for row in rows})}
    if main not in values:
        raise DataError(f"{label!r} from {subset} has no {main}; expected it for every line")
    scored = [row for row in rows if row.metric == main]
    empty = {}
    for region in Region:
        counts = Counter(row.note for row in scored if row.region is region)
        empty[region] = {note: counts[note] for note in NOTES}
    return Line(
        label=label,
        method=rows[0].method,
        subset=subset,
        processing=", ".join(sorted({row.processing for row in rows})),
        folds=tuple(sorted({row.fold for row in rows})),
        seeds=tuple(sorted({row.seed for row in rows})),
        main=main,
        values=values,
        summaries={metric: summarise(rows, metric, columns, patients) for metric, columns in values.items()},
        predictions=len({(row.run, row.fold, row.seed, row.case) for row in scored}),
        empty=empty,
    )


def _caption(lines: Sequence[Line], patients: Mapping[str, str] | None, shared: Origin) -> tuple[str, ...]:
    sentences = [
        _sample(lines, patients, shared),
        statement(shared.protocol),
        CELLS,
        f"{EMPTY_POLICY} Counted by prediction and region as both empty / only the reference empty / only the "
        f"prediction empty; in all lines together: {_empty_text(*_together(lines))}.",
        HD95_DEFINITION,
        *_warnings(lines),
    ]
    return tuple(sentences)


def _sample(lines: Sequence[Line], patients: Mapping[str, str] | None, shared: Origin) -> str:
    """Who was measured, by which runs, in one sentence."""
    sizes = sorted({len(line.cases) for line in lines})
    count = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    everyone = {case for line in lines for case in line.cases}
    people = (
        "each taken as a patient of its own"
        if patients is None
        else f"of {len(set(owners(everyone, patients)))} patients"
    )
    folds, seeds = {fold for line in lines for fold in line.folds}, {seed for line in lines for seed in line.seeds}
    repeated = any(line.predictions > len(line.cases) for line in lines)
    return f"n = {count} cases, {people}; {_list('fold', folds)}; {_list('seed', seeds)}; {shared.cohort}" + (
        "; a case counts once, by the mean over its folds and seeds." if repeated else "."
    )


def _warnings(lines: Sequence[Line]) -> list[str]:
    """What a reader must know of these lines and of no others."""
    found = []
    if any(line.main != "dice" for line in lines):
        found.append(
            "These results hold no Dice by volume: what stands as Dice is the slice mean. " + definition(lines[0].main)
        )
    found += _unequal(lines) + _uneven(lines)
    if any(cell.seeds for line in lines for cell in line.cells.values()):
        found.append(
            "Seeds are repetitions, not patients: 'seeds' gives the lowest and the highest of the seeds' mean Dice, "
            "over the cases that all of them have; the interval is of a case's mean over seeds."
        )
    if any(line.processing != RAW for line in lines):
        found.append(
            "A line that names a step after its run gives the same predictions after it; its threshold was chosen by "
            "each run on its own validation cases."
        )
    for line in lines:
        short = [metric for metric, columns in line.values.items() if len(columns[MEAN]) < len(line.cases)]
        if short:
            counts = ", ".join(f"{metric} on {len(line.values[metric][MEAN])}" for metric in short)
            found.append(f"{line.title} from {line.subset}: {counts} of {len(line.cases)} cases.")
    return found


def matched(lines: Sequence[Line]) -> bool:
    """Whether lines of the same sequences were measured on the same cases."""
    return len({(line.subset, line.cases) for line in lines}) == len({line.subset for line in lines})


def _unequal(lines: Sequence[Line]) -> list[str]:
    """What to make of lines that were measured on different cases; nothing where all were measured on the same."""
    if len({line.cases for line in lines}) == 1:
        return []
    if matched(lines):
        return [
            "Cases differ between sequences: compare lines of the same sequences, which were measured on the same "
            "cases, and no others."
        ]
    return [DO_NOT_COMPARE]


def _uneven(lines: Sequence[Line]) -> list[str]:
    """Which folds and seeds each line covers; nothing where all cover the same."""
    covered: dict[str, dict[str, list[str]]] = {}
    for line in lines:
        runs = f"{_list('fold', line.folds)} and {_list('seed', line.seeds)}"
        covered.setdefault(line.series, {}).setdefault(runs, []).append(str(line.subset))
    if len({runs for found in covered.values() for runs in found}) == 1:
        return []
    told = [
        f"{series}{' from ' + ', '.join(subsets) if len(found) > 1 else ''}: {runs}"
        for series, found in covered.items()
        for runs, subsets in found.items()
    ]
    return [f"Lines are not of the same folds and seeds: {'; '.join(told)}."]


def _together(lines: Sequence[Line]) -> tuple[dict[Region, dict[str, int]], int]:
    """Empty regions and predictions of all lines."""
    empty = {region: {note: sum(line.empty[region][note] for line in lines) for note in NOTES} for region in Region}
    return empty, sum(line.predictions for line in lines)


def _empty_text(empty: Mapping[Region, Mapping[str, int]], predictions: int) -> str:
    found = [
        f"{region.name} {'/'.join(str(counts[note]) for note in NOTES)}"
        for region, counts in empty.items()
        if any(counts.values())
    ]
    return f"{', '.join(found)} of {predictions}" if found else f"none of {predictions}"


def statement(protocol: str) -> str:
    """The rules of a protocol, in sentences that begin with its name."""
    try:
        return find(protocol).statement
    except UsageError:
        return f"Protocol {protocol}, which this version of Limbeck does not know."


def main_metric(rows: Iterable[Row]) -> str:
    """What cells show: Dice, or, where MTCM-KD's own protocol measured nothing else, its slice mean.

    Raises:
        DataError: the rows hold neither.
    """
    measured = {row.metric for row in rows}
    for metric in MEASURES:
        if metric in measured:
            return metric
    raise DataError("the results hold no Dice; expected rows with metric 'dice'")


def _list(word: str, numbers: Collection[int]) -> str:
    return f"{word}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"
