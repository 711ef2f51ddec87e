"""`limbeck inspect`: every problem of a data set or cohort at once."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.anatomy import LABEL_SCHEMES
from limbeck.commands.arguments import at_least
from limbeck.commands.bar import bar
from limbeck.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from limbeck.data.findings import Told
    from limbeck.data.inspection import Report

# More rows than this nobody reads; those with findings come first then.
_MOST_ROWS = 40
_MOST_NAMES = 12


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    from limbeck.data.importers import IMPORTERS  # noqa: PLC0415

    parser.add_argument("source", type=Path, help="folder of a data set, a CSV table, or a cohort")
    parser.add_argument("--layout", default="auto", help=f"one of auto, {', '.join(IMPORTERS)}")
    parser.add_argument("--labels", default="auto", help=f"label codes, one of auto, {', '.join(LABEL_SCHEMES)}")
    parser.add_argument("--workers", type=at_least(1), default=None, help="processes (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; exit code 3 when something makes a case unusable."""
    from rich.console import Console  # noqa: PLC0415

    from limbeck.data.inspection import inspect  # noqa: PLC0415 - nibabel

    scheme = None if arguments.labels == "auto" else arguments.labels
    with bar("Inspect", 1) as advance:
        report = inspect(arguments.source, arguments.layout, scheme, progress=advance, workers=arguments.workers)
    if arguments.json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        _show(report, Console())
    return DataError.exit_code if report.errors else 0


def _show(report: Report, console: Console) -> None:
    """What was looked at, a table of cases, and what was found."""
    from limbeck.data.findings import folded  # noqa: PLC0415

    console.print(f"{report.source}: {report.explanation}", markup=False, highlight=False, soft_wrap=True)
    if report.cases:
        _show_cases(report, console)
    told = folded(report.findings)
    if told:
        _show_findings(told, console, report.source)
    summary = f"{len(report.cases)} cases, {report.errors} errors, {report.warnings} warnings"
    console.print(summary if told else f"{summary}: nothing to mend", markup=False, highlight=False)


def _show_cases(report: Report, console: Console) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    rows = report.rows()
    columns = {
        "case": "case",
        "sequences": "sequences",
        "shape": "voxels",
        "spacing [mm]": "mm",
        "axes": "axes",
        "brain [ml]": "brain\nml",
        "tumour [ml]": "tumour\nml",
        "findings": "findings",
    }
    for heading in columns.values():
        table.add_column(heading, overflow="fold", justify="right" if heading.endswith("ml") else "left")
    shown = rows
    if len(rows) > _MOST_ROWS:
        shown = sorted(rows, key=lambda row: row["findings"] == "0")[:_MOST_ROWS]
    for row in shown:
        table.add_row(*(_plain(_tight(key, row[key])) for key in columns))
    console.print(table)
    if len(rows) > len(shown):
        console.print(f"... and {len(rows) - len(shown)} more cases (--json has all)", markup=False, highlight=False)


def _tight(column: str, text: str) -> str:
    """A cell's text in as few letters as say the same."""
    if column == "sequences":
        return "all" if text == "flair+t1+t1ce+t2" else text
    if column == "spacing [mm]" and len(set(text.split(" x "))) == 1:
        return text.split(" x ", maxsplit=1)[0]
    return text.replace(" x ", "x")


def _show_findings(told: list[Told], console: Console, source: str) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_lines=True)
    table.add_column("severity", min_width=8)
    for heading in ("case", "what was found", "what would be right"):
        # A path must be whole, however narrow the screen.
        table.add_column(heading, overflow="fold")
    for entry in told:
        what = entry.what.replace(f"{source}/", "")
        table.add_row(entry.severity, _plain(_names(entry.cases)), _plain(what), _plain(entry.remedy))
    console.print(table)


def _names(cases: tuple[str, ...]) -> str:
    if len(cases) < 2:
        return "".join(cases)
    shown = ", ".join(cases[:_MOST_NAMES])
    return f"{len(cases)} cases: {shown}{', ...' if len(cases) > _MOST_NAMES else ''}"


def _plain(text: str) -> Text:
    """Text whose brackets are no markup."""
    from rich.text import Text  # noqa: PLC0415

    return Text(text)
