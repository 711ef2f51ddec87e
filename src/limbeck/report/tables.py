"""One table that compares runs: what was measured, how sure it is, and which cases had nothing to measure."""

from __future__ import annotations

import csv
import html
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table as RichTable
from rich.text import Text

from limbeck.anatomy import Modality, Region, Subset
from limbeck.errors import DataError, UsageError
from limbeck.evaluation import statistics
from limbeck.evaluation.statistics import Interval
from limbeck.evaluation.table import EMPTY_POLICY, HD95_DEFINITION, NOTES, Row

MEAN = "mean"
COLUMNS = (*(region.name for region in Region), MEAN)
_HEADINGS = ("Run", "Sequences", "n", *COLUMNS, "Empty regions")


@dataclass(frozen=True)
class Cell:
    """What is known of one region, or of the mean over the three."""

    dice: float
    interval: Interval | None
    hd95_mm: float | None


@dataclass(frozen=True)
class Line:
    """All runs of one label from one subset.

    Attributes:
        label: the run's label, such as teacher, alone or distilled.
        subset: the sequences that the prediction saw.
        dice: column of `COLUMNS` -> case -> Dice, averaged over the case's folds and seeds.
        cells: column of `COLUMNS` -> estimates over the cases.
        predictions: how many predictions were scored: cases times folds and seeds.
        empty: region -> note of `evaluation.table.NOTES` -> in how many predictions.
    """

    label: str
    subset: Subset
    dice: Mapping[str, Mapping[str, float]]
    cells: Mapping[str, Cell]
    predictions: int
    empty: Mapping[Region, Mapping[str, int]]

    @property
    def cases(self) -> frozenset[str]:
        """The cases that were scored."""
        return frozenset(self.dice[MEAN])


@dataclass(frozen=True)
class Comparison:
    """Lines, and the sentences that must stand under them."""

    lines: tuple[Line, ...]
    caption: tuple[str, ...]


def compare(
    rows: Iterable[Row], labels: Mapping[str, str] | None = None, patients: Mapping[str, str] | None = None
) -> Comparison:
    """Summarise results, one line for each label and subset.

    Args:
        rows: with metric `dice` for every region, and `hd95_mm` where it was measured.
        labels: run -> label; lines come in the order of its values. A run without a label goes by its method's name.
        patients: case -> patient, for cohorts with several scans of a patient; without it each case is a patient.

    Raises:
        DataError: there is no Dice, a case lacks a region or a patient, or one label and subset covers the same fold,
            seed and case twice.
        UsageError: a label covers several methods.
    """
    labels = labels or {}
    groups: dict[tuple[str, Subset], list[Row]] = {}
    rows = list(rows)
    for row in rows:
        groups.setdefault((labels.get(row.run, row.method), row.subset), []).append(row)
    if not any(row.metric == "dice" for row in rows):
        raise DataError("the results hold no Dice; expected rows with metric 'dice'")
    wanted = list(dict.fromkeys([*labels.values(), *(label for label, _ in groups)]))
    subsets = Subset.every()
    ordered = sorted(groups, key=lambda group: (wanted.index(group[0]), subsets.index(group[1])))
    lines = tuple(_line(label, subset, groups[label, subset], patients) for label, subset in ordered)
    return Comparison(lines, _caption(rows, lines, patients))


def terminal(comparison: Comparison) -> RichTable:
    """The table for `rich`, in 80 columns: Dice, below it its interval, below that HD95."""
    empty = [f"{line.label}, {_short(line.subset)}: {_empty_text(line)}." for line in comparison.lines]
    caption = "\n".join([*comparison.caption, "Empty regions by line: " + " ".join(empty)])
    table = RichTable(caption=caption, caption_justify="left", show_lines=True)
    for number, heading in enumerate(_HEADINGS[:-1]):
        # A narrow terminal breaks a number's line; it must never hide the number.
        table.add_column(heading, justify="left" if number < 2 else "right", overflow="fold")
    for line in comparison.lines:
        cells = [_stacked(line.cells[column]) for column in COLUMNS]
        # Text, since square brackets in a label or an interval would be read as markup.
        texts = (line.label, _short(line.subset), str(len(line.cases)), *cells)
        table.add_row(*(Text(text) for text in texts))
    return table


def markdown(comparison: Comparison) -> str:
    """The table for a README, with its caption as a paragraph of sentences."""
    out = ["| " + " | ".join(_HEADINGS) + " |", "|---|---|--:|" + "--:|" * len(COLUMNS) + "---|"]
    for line in comparison.lines:
        cells = ["<br>".join(_parts(line.cells[column])) for column in COLUMNS]
        label = html.escape(line.label).replace("|", "\\|").replace("\n", " ")
        out.append(f"| {label} | {line.subset} | {len(line.cases)} | {' | '.join(cells)} | {_empty_text(line)} |")
    return "\n".join([*out, "", *comparison.caption, ""])


def csv_text(comparison: Comparison) -> str:
    """The numbers themselves: one record for each line and column, intervals and counts of empty regions apart."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    estimates = ("dice_mean", "dice_low", "dice_high", "hd95_mm_median")
    writer.writerow(["label", "subset", "cases", "predictions", "region", *estimates, *_note_columns()])
    for line in comparison.lines:
        for column in COLUMNS:
            cell = line.cells[column]
            low, high = cell.interval or ("", "")
            hd95 = "" if cell.hd95_mm is None else cell.hd95_mm
            counts = [""] * len(NOTES) if column == MEAN else list(line.empty[Region[column]].values())
            writer.writerow(
                [
                    line.label,
                    line.subset,
                    len(line.cases),
                    line.predictions,
                    column,
                    cell.dice,
                    low,
                    high,
                    hd95,
                    *counts,
                ]
            )
    return stream.getvalue()


def html_table(comparison: Comparison) -> str:
    """The table as an HTML `<figure>`; every text is escaped."""
    head = "".join(f'<th scope="col">{html.escape(heading)}</th>' for heading in _HEADINGS)
    body = "\n".join(_html_line(line) for line in comparison.lines)
    caption = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in comparison.caption)
    return (
        f'<figure class="table"><div class="scroll" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>\n<figcaption>{caption}</figcaption></figure>"
    )


def _line(label: str, subset: Subset, rows: Sequence[Row], patients: Mapping[str, str] | None) -> Line:
    _refuse_mixture(label, subset, rows)
    dice, hd95 = _by_case(rows, "dice"), _by_case(rows, "hd95_mm")
    cells = {}
    for column in COLUMNS:
        values = list(dice[column].values())
        interval = statistics.bootstrap_interval(values, _owners(dice[column], patients))
        median = statistics.median(list(hd95[column].values())) if hd95.get(column) else None
        cells[column] = Cell(statistics.mean(values), interval, median)
    scored = [row for row in rows if row.metric == "dice"]
    empty = {}
    for region in Region:
        counts = Counter(row.note for row in scored if row.region is region)
        empty[region] = {note: counts[note] for note in NOTES}
    predictions = len({(row.run, row.fold, row.seed, row.case) for row in scored})
    return Line(label, subset, dice, cells, predictions, empty)


def _refuse_mixture(label: str, subset: Subset, rows: Sequence[Row]) -> None:
    methods = sorted({row.method for row in rows})
    if len(methods) > 1:
        raise UsageError(f"label {label!r} covers the methods {', '.join(methods)}; expected a label for each")
    seen: dict[tuple[object, ...], str] = {}
    for row in rows:
        other = seen.setdefault((row.fold, row.seed, row.case, row.region, row.metric), row.run)
        if other != row.run:
            raise DataError(
                f"runs {other!r} and {row.run!r} both stand for {label!r} from {subset}, fold {row.fold}, "
                f"seed {row.seed}; expected a label for each"
            )


def _by_case(rows: Sequence[Row], metric: str) -> dict[str, dict[str, float]]:
    """Column -> case -> mean over folds and seeds; the mean column averages a case's three regions."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row.metric == metric:
            values.setdefault(row.case, {}).setdefault(row.region.name, []).append(row.value)
    columns: dict[str, dict[str, float]] = {}
    for case, regions in sorted(values.items()):
        missing = [region.name for region in Region if region.name not in regions]
        if missing:
            raise DataError(f"case {case!r} has no {metric} for {', '.join(missing)}; expected all three regions")
        means = {name: statistics.mean(found) for name, found in regions.items()}
        for name, value in {**means, MEAN: statistics.mean(list(means.values()))}.items():
            columns.setdefault(name, {})[case] = value
    return columns


def _owners(cases: Iterable[str], patients: Mapping[str, str] | None) -> list[str]:
    if patients is None:
        return list(cases)
    owners = []
    for case in cases:
        if case not in patients:
            raise DataError(f"case {case!r} has no patient; expected one for every case")
        owners.append(patients[case])
    return owners


def _caption(rows: Sequence[Row], lines: Sequence[Line], patients: Mapping[str, str] | None) -> tuple[str, ...]:
    sizes = sorted({len(line.cases) for line in lines})
    count = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    everyone = {case for line in lines for case in line.cases}
    people = (
        "each taken as a patient of its own"
        if patients is None
        else f"of {len(set(_owners(everyone, patients)))} patients"
    )
    folds, seeds = sorted({row.fold for row in rows}), sorted({row.seed for row in rows})
    repeated = any(line.predictions > len(line.cases) for line in lines)
    sentences = [
        f"n = {count} cases, {people}; {_list('fold', folds)}; {_list('seed', seeds)}"
        + ("; a case counts once, by the mean over its folds and seeds." if repeated else "."),
        f"A cell gives the mean Dice [{statistics.LEVEL:.0%} interval by patient: percentile bootstrap of the mean, "
        f"{statistics.RESAMPLES} resamples] and, in mm, the median HD95. "
        f"The column {MEAN} averages WT, TC and ET case by case.",
        EMPTY_POLICY + " Counted by prediction and region as both empty / only the reference empty / only the "
        "prediction empty.",
        HD95_DEFINITION,
    ]
    if len({line.cases for line in lines}) > 1:
        sentences.insert(1, "The lines were not measured on the same cases: do not compare them.")
    return tuple(sentences)


def _list(word: str, numbers: Sequence[int]) -> str:
    return f"{word}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _parts(cell: Cell) -> tuple[str, str]:
    interval = f" [{cell.interval.low:.3f}, {cell.interval.high:.3f}]" if cell.interval else " [no interval]"
    hd95 = "HD95 not measured" if cell.hd95_mm is None else f"{cell.hd95_mm:.1f} mm"
    return f"{cell.dice:.3f}{interval}", hd95


def _stacked(cell: Cell) -> str:
    """Three short lines, the interval to two decimals: the file that `csv_text` writes has them all."""
    interval = f"{cell.interval.low:.2f}–{cell.interval.high:.2f}" if cell.interval else "no interval"
    return "\n".join((f"{cell.dice:.3f}", interval, _parts(cell)[1]))


def _short(subset: Subset) -> str:
    return "all" if len(subset) == len(Modality) else str(subset)


def _empty_text(line: Line) -> str:
    found = [
        f"{region.name} {'/'.join(str(counts[note]) for note in NOTES)}"
        for region, counts in line.empty.items()
        if any(counts.values())
    ]
    return f"{', '.join(found)} of {line.predictions}" if found else f"none of {line.predictions}"


def _html_line(line: Line) -> str:
    cells = []
    for column in COLUMNS:
        dice, hd95 = _parts(line.cells[column])
        value, _, interval = dice.partition(" ")
        cells.append(f"<td><b>{value}</b><br><small>{interval}<br>{hd95}</small></td>")
    return (
        f'<tr><th scope="row">{html.escape(line.label)}</th><td>{line.subset}</td><td>{len(line.cases)}</td>'
        f"{''.join(cells)}<td>{_empty_text(line)}</td></tr>"
    )


def _note_columns() -> list[str]:
    return [note.replace(" ", "_") for note in NOTES]
