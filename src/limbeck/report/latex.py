"""LaTeX for tables: booktabs' rules, and every text escaped so that it prints as it stands."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

# Brackets and stars are braced since they would be taken for an argument of a line's end before them.
_MARKS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "–": "--",
    "−": r"$-$",
    "…": r"\dots{}",
    "●": r"$\bullet$",
    "○": r"$\circ$",
    "†": r"$\dagger$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "²": r"$^{2}$",
    "³": r"$^{3}$",
    "µ": r"$\mu$",
}

# Lines of text that a page holds under a caption, a cell's own lines counted.
_HEIGHT = 45

PACKAGES = "% needs \\usepackage[T1]{fontenc}, \\usepackage{booktabs} and \\usepackage{graphicx}"


class Cell(NamedTuple):
    """Plain text over one or more columns; its own lines are parted by newlines."""

    text: str
    span: int = 1


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands, in one paragraph."""
    plain = re.sub(r"[\s\x00-\x1f\x7f]+", " ", text)
    # Two hyphens would become a dash.
    parted = re.sub("-(?=-)", "-\x00", plain)
    return "".join(_MARKS.get(mark, mark) for mark in parted).replace("\x00", "{}")


def caption_text(title: str, sentences: Sequence[str]) -> str:
    """An escaped caption: the title, then every sentence."""
    return " ".join(escape(text) for text in (f"{title}.", *sentences))


def environment(
    alignment: str,
    heads: Sequence[Sequence[Cell]],
    lines: Sequence[Sequence[Cell]],
    rules: Collection[int],
    caption: str,
) -> str:
    """Floating tables, no wider than the text: one, or as many as it takes for each to fit a page.

    Args:
        alignment: a letter for each column, `l` or `r`.
        heads: heading lines; one that spans columns gets a rule of its own below.
        lines: body lines.
        rules: numbers of body lines with a rule above.
        caption: escaped.
    """
    top = [r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%", rf"\begin{{tabular}}{{{alignment}}}"]
    top.append(r"\toprule")
    for head in heads:
        top += [_line(head, centred=True), *_group_rules(head)]
    top.append(r"\midrule")
    out = [PACKAGES]
    for page in _pages(lines):
        # The parts of a table have one number.
        out += [r"\addtocounter{table}{-1}"] if page.start else []
        out += [r"\begin{table}", r"\centering", rf"\caption{{{'Continued.' if page.start else caption}}}", *top]
        for number in page:
            if number in rules and number > page.start:
                out.append(r"\midrule")
            out.append(_line(lines[number], centred=False))
        out += [r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
    return "\n".join([*out, ""])


def _pages(lines: Sequence[Sequence[Cell]]) -> list[range]:
    """The numbers of the lines that stand together on a page."""
    starts, height = [0], 0
    for number, line in enumerate(lines):
        own = max(cell.text.count("\n") + 1 for cell in line)
        if height + own > _HEIGHT and number > starts[-1]:
            starts.append(number)
            height = 0
        height += own
    return [range(start, stop) for start, stop in pairwise([*starts, len(lines)])]


def _line(cells: Sequence[Cell], *, centred: bool) -> str:
    return " & ".join(_cell(cell, centred=centred) for cell in cells) + r" \\"


def _cell(cell: Cell, *, centred: bool) -> str:
    lines = [escape(line) for line in cell.text.split("\n")]
    stacked = r"\\".join(lines)
    text = stacked if len(lines) == 1 else rf"\shortstack[r]{{{stacked}}}"
    return rf"\multicolumn{{{cell.span}}}{{c}}{{{text}}}" if centred or cell.span > 1 else text


def _group_rules(head: Sequence[Cell]) -> list[str]:
    """A thin rule below every heading that covers several columns."""
    place, found = 1, []
    for cell in head:
        if cell.span > 1:
            found.append(rf"\cmidrule(lr){{{place}-{place + cell.span - 1}}}")
        place += cell.span
    return ["".join(found)] if found else []
