"""A table as text, before it becomes Markdown, CSV, HTML or LaTeX: every table of the report takes this one way."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from limbeck.errors import UsageError, nearest
from limbeck.report.latex import Cell, caption_text, environment

# What stands where nothing was measured.
ABSENT = "–"


@dataclass(frozen=True)
class Column:
    """A column's head.

    Attributes:
        heading: its own.
        group: what neighbouring columns share, such as a region; nothing for a column alone.
        number: whether it is read by its right edge.
    """

    heading: str
    group: str = ""
    number: bool = True

    @property
    def whole(self) -> str:
        """The heading where there is but one row for heads."""
        return f"{self.group} {self.heading}".strip()


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        title: what it is, without a full stop.
        columns: heads.
        lines: cells for each column; a cell's own lines are parted by newlines, and the first is the chief.
        caption: the sentences that must stand under it.
        rules: numbers of lines that a rule is drawn above.
    """

    title: str
    columns: tuple[Column, ...]
    lines: tuple[tuple[str, ...], ...]
    caption: tuple[str, ...]
    rules: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a line that does not fill the columns.

        Raises:
            ValueError: a line has too few or too many cells.
        """
        for line in self.lines:
            if len(line) != len(self.columns):
                raise ValueError(f"{len(line)} cells for {len(self.columns)} columns: {line}")


def render(grid: Grid, format: str) -> str:
    """The table as text.

    Args:
        grid: the table.
        format: one of `FORMATS`.

    Raises:
        UsageError: there is no such format; the message names the nearest.
    """
    check_format(format)
    return FORMATS[format](grid)


def check_format(format: str) -> None:
    """Refuse an unknown format before work is done for it.

    Raises:
        UsageError: there is no such format; the message names the nearest.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}: expected {', '.join(FORMATS)}{nearest(format, FORMATS)}")


def markdown(grid: Grid) -> str:
    """The table for a README, with its caption as a paragraph of sentences."""
    rule = "|" + "|".join("--:" if column.number else "---" for column in grid.columns) + "|"
    lines = [_markdown_line(column.whole for column in grid.columns), rule, *map(_markdown_line, grid.lines)]
    return "\n".join([*lines, "", *(html.escape(sentence, quote=False) for sentence in grid.caption), ""])


def csv_text(grid: Grid) -> str:
    """The cells as they are read, without the caption; what was not measured is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(column.whole for column in grid.columns)
    for line in grid.lines:
        writer.writerow("" if cell == ABSENT else cell.replace("\n", " ") for cell in line)
    return stream.getvalue()


def html_table(grid: Grid) -> str:
    """The table as an HTML `<figure>`; every text is escaped."""
    body = []
    for number, line in enumerate(grid.lines):
        cells = (
            _html_cell(cell, column.number, head=place == 0)
            for place, (cell, column) in enumerate(zip(line, grid.columns, strict=True))
        )
        ruled = ' class="ruled"' if number in grid.rules else ""
        body.append(f"<tr{ruled}>{''.join(cells)}</tr>")
    caption = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in grid.caption)
    rows = "\n".join(body)
    return (
        f'<figure class="table"><div class="scroll" tabindex="0"><table>\n<thead>{_html_heads(grid)}</thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>\n<figcaption>{caption}</figcaption></figure>"
    )


def latex(grid: Grid) -> str:
    """The table as LaTeX with booktabs' rules, in parts where a page cannot hold it; line 1 names what it needs."""
    heads = [[Cell(column.heading) for column in grid.columns]]
    if any(column.group for column in grid.columns):
        heads.insert(0, [Cell(title, span) for title, span in groups(grid)])
    lines = [[Cell(cell) for cell in line] for line in grid.lines]
    alignment = "".join("r" if column.number else "l" for column in grid.columns)
    return environment(alignment, heads, lines, grid.rules, caption_text(grid.title, grid.caption))


FORMATS: dict[str, Callable[[Grid], str]] = {"markdown": markdown, "csv": csv_text, "latex": latex, "html": html_table}


def groups(grid: Grid) -> list[tuple[str, int]]:
    """Group titles with how many columns each covers, from left to right; columns without a group stand alone."""
    found: list[tuple[str, int]] = []
    for title, members in groupby(column.group for column in grid.columns):
        count = len(list(members))
        found += [(title, count)] if title else [("", 1)] * count
    return found


def _markdown_line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_markdown_cell(cell) for cell in cells) + " |"


def _markdown_cell(cell: str) -> str:
    """Markup of HTML and the marks that would part cells or make them italic are shown, not obeyed."""
    text = html.escape(cell, quote=False).replace("\\", "&#92;")
    for mark in "|*`":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", "<br>")


def _html_heads(grid: Grid) -> str:
    titles = groups(grid)
    single = "".join(
        f'<th scope="col"{_side(column.number)}>{html.escape(column.heading)}</th>' for column in grid.columns
    )
    if all(not title for title, _ in titles):
        return f"<tr>{single}</tr>"
    wide = "".join(
        f'<th scope="colgroup" colspan="{span}" style="text-align:center">{html.escape(title)}</th>'
        for title, span in titles
    )
    return f"<tr>{wide}</tr><tr>{single}</tr>"


def _html_cell(cell: str, number: bool, *, head: bool) -> str:
    chief, *others = map(html.escape, cell.split("\n"))
    text = f"{chief if head else f'<b>{chief}</b>'}<br><small>{'<br>'.join(others)}</small>" if others else chief
    return f'<th scope="row"{_side(number)}>{text}</th>' if head else f"<td{_side(number)}>{text}</td>"


def _side(number: bool) -> str:
    """In the element, so that a table reads well on any page that it is put into."""
    return f' style="text-align:{"right" if number else "left"}"'
