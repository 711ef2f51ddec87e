"""One table that compares runs: what was measured, how sure it is, and which cases had nothing to measure."""

from __future__ import annotations

import csv
import io

from rich.table import Table as RichTable
from rich.text import Text

from limbeck.anatomy import Modality, Region, Subset
from limbeck.evaluation.statistics import Interval
from limbeck.evaluation.summary import COLUMNS, MEAN, Summary
from limbeck.evaluation.table import NOTES
from limbeck.report import grid
from limbeck.report.comparison import Cell, Comparison, Line, compare
from limbeck.report.grid import Column, Grid

__all__ = [
    "COLUMNS",
    "MEAN",
    "Comparison",
    "Line",
    "compare",
    "csv_text",
    "html_table",
    "latex",
    "main_grid",
    "markdown",
    "terminal",
]

_HEADINGS = ("Run", "Sequences", "n", *COLUMNS, "Empty regions")
_TEXTS = ("Run", "Sequences", "Empty regions")
_ESTIMATES = ("mean", "mean_low", "mean_high", "median", "median_low", "median_high", "seeds_low", "seeds_high")


def terminal(comparison: Comparison) -> RichTable:
    """The table for `rich`, in 80 columns: Dice, below it its interval, below that HD95."""
    empty = [f"{line.title}, {_short(line.subset)}: {line.empty_text}." for line in comparison.lines]
    caption = "\n".join([*comparison.caption, "Empty regions by line: " + " ".join(empty)])
    table = RichTable(caption=caption, caption_justify="left", show_lines=True)
    for number, heading in enumerate(_HEADINGS[:-1]):
        # A narrow terminal breaks a number's line; it must never hide the number.
        table.add_column(heading, justify="left" if number < 2 else "right", overflow="fold")
    for line in comparison.lines:
        cells = [_stacked(line.cells[column]) for column in COLUMNS]
        # Text, since square brackets in a label or an interval would be read as markup.
        texts = (line.title, _short(line.subset), str(len(line.cases)), *cells)
        table.add_row(*(Text(text) for text in texts))
    return table


def main_grid(comparison: Comparison) -> Grid:
    """The table before its format: a line for each label, subset and processing."""
    columns = tuple(Column(heading, number=heading not in _TEXTS) for heading in _HEADINGS)
    lines = []
    for line in comparison.lines:
        cells = ["\n".join(_parts(line.cells[column])) for column in COLUMNS]
        lines.append((line.title, str(line.subset), str(len(line.cases)), *cells, line.empty_text))
    return Grid(
        f"{comparison.measure.capitalize()} and HD95 by run and sequences", columns, tuple(lines), comparison.caption
    )


def markdown(comparison: Comparison) -> str:
    """The table for a README, with its caption as a paragraph of sentences."""
    return grid.markdown(main_grid(comparison))


def html_table(comparison: Comparison) -> str:
    """The table as an HTML `<figure>`; every text is escaped."""
    return grid.html_table(main_grid(comparison))


def latex(comparison: Comparison) -> str:
    """The table for a paper, with booktabs' rules."""
    return grid.latex(main_grid(comparison))


def csv_text(comparison: Comparison) -> str:
    """The numbers themselves: one record for each line, metric and column, with the counts of empty regions."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    identity = ("label", "method", "subset", "processing", "protocol", "data", "predictions")
    notes = [note.replace(" ", "_") for note in NOTES]
    writer.writerow([*identity, "metric", "region", "cases", *_ESTIMATES, *notes])
    for line in comparison.lines:
        names = (line.label, line.method, line.subset, line.processing, *comparison.origin, line.predictions)
        for metric, columns in line.summaries.items():
            for column, found in columns.items():
                counts = [""] * len(NOTES) if column == MEAN else list(line.empty[Region[column]].values())
                writer.writerow([*names, metric, column, found.cases, *_numbers(found), *counts])
    return stream.getvalue()


def _numbers(found: Summary) -> list[float | str]:
    ends = [found.interval, found.median_interval, found.seeds]
    mean, median, seeds = (("", "") if interval is None else tuple(interval) for interval in ends)
    return [found.mean, *mean, found.median, *median, *seeds]


def _parts(cell: Cell) -> list[str]:
    seeds = [] if cell.seeds is None else [f"seeds {cell.seeds.low:.3f}–{cell.seeds.high:.3f}"]
    return [f"{cell.dice:.3f}", _bracket(cell.interval), _hd95(cell), *seeds]


def _stacked(cell: Cell) -> str:
    """Short lines for a terminal, to two decimals: the file that `csv_text` writes has them all."""
    interval = f"{cell.interval.low:.2f}–{cell.interval.high:.2f}" if cell.interval else "no interval"
    seeds = [] if cell.seeds is None else ["seeds", f"{cell.seeds.low:.2f}–{cell.seeds.high:.2f}"]
    return "\n".join((f"{cell.dice:.3f}", interval, _hd95(cell), *seeds))


def _hd95(cell: Cell) -> str:
    return "HD95 not measured" if cell.hd95_mm is None else f"{cell.hd95_mm:.1f} mm"


def _bracket(interval: Interval | None) -> str:
    return f"[{interval.low:.3f}, {interval.high:.3f}]" if interval else "[no interval]"


def _short(subset: Subset) -> str:
    return "all" if len(subset) == len(Modality) else str(subset)
