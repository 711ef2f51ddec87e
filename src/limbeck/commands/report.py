"""`limbeck report`: one self-contained page from results, or a table for a paper."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.commands.arguments import check_file
from limbeck.commands.bar import bar
from limbeck.errors import DataError, UsageError

if TYPE_CHECKING:
    from limbeck.data.cohort import Cohort
    from limbeck.evaluation.table import Row
    from limbeck.report.viewer import Scene


_TITLE = "Limbeck results"
# Runs that a page names one by one in a command.
_FEW = 15
# Ending -> format of a table.
_FORMATS = {".md": "markdown", ".csv": "csv", ".tex": "latex"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="CSV files of limbeck evaluate")
    parser.add_argument("--runs", type=Path, help="folder of the runs: adds training curves and settings")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="COHORT",
        help="the cohort: adds a viewer of chosen cases, and makes intervals go by patient where one has several scans",
    )
    parser.add_argument("--masks", type=Path, help="folder that limbeck evaluate --masks wrote: predictions to look at")
    parser.add_argument(
        "--cases",
        default="3",
        metavar="N|NAMES",
        help="cases to look at: so many from hard to easy, or A,B (default: 3)",
    )
    parser.add_argument("--title", default=_TITLE, help="heading of the page")
    parser.add_argument(
        "--paper", metavar="TABLE", help="a paper's own table with the results beside it, such as rirn-table1"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="page to write (.html), or a table alone (.md, .csv or .tex)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page, or the table that the file's ending asks for."""
    check_file(arguments.out, (".html", *_FORMATS))
    if arguments.out.suffix in _FORMATS:
        return _write_table(arguments)
    if arguments.paper:
        raise UsageError(f"--paper {arguments.paper} is a table: give -o a name that ends in {' or '.join(_FORMATS)}")
    if arguments.masks and not arguments.data:
        raise UsageError("--masks shows predictions over scans: give --data COHORT too")
    for option in ("runs", "masks"):
        folder = getattr(arguments, option)
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder}: no such folder: expected what --{option} names")

    from limbeck.evaluation.table import read  # noqa: PLC0415
    from limbeck.report.provenance import read_runs  # noqa: PLC0415
    from limbeck.report.results import write_results  # noqa: PLC0415 - matplotlib

    rows = [row for path in arguments.results for row in read(path)]
    records = read_runs(arguments.runs, rows) if arguments.runs else []
    cohort = _cohort(arguments.data, rows) if arguments.data else None
    scenes = _scenes(rows, cohort, arguments) if cohort else []
    write_results(
        arguments.out,
        rows,
        title=arguments.title,
        records=records,
        scenes=scenes,
        patients=cohort.patients if cohort else None,
        commands=[*_measured(rows), _command(arguments)],
    )
    print(arguments.out)
    return 0


def _write_table(arguments: argparse.Namespace) -> int:
    from limbeck.durable import write_text  # noqa: PLC0415
    from limbeck.evaluation.table import read  # noqa: PLC0415
    from limbeck.report import paper_tables, tables  # noqa: PLC0415

    wanted = [option for option in ("runs", "masks") if getattr(arguments, option)]
    if wanted:
        raise UsageError(f"--{wanted[0]} adds to a page: give -o a name that ends in .html")
    rows = [row for path in arguments.results for row in read(path)]
    kind = _FORMATS[arguments.out.suffix]
    patients = _cohort(arguments.data, rows).patients if arguments.data else None
    if arguments.paper:
        text = paper_tables.render(arguments.paper, rows, kind, patients=patients)
    else:
        write = {"markdown": tables.markdown, "csv": tables.csv_text, "latex": tables.latex}[kind]
        text = write(tables.compare(rows, patients=patients))
    write_text(arguments.out, text)
    print(arguments.out)
    return 0


def _cohort(folder: Path, rows: Sequence[Row]) -> Cohort:
    """The cohort that the results are of."""
    from limbeck.data.cohort import Cohort  # noqa: PLC0415 - torch
    from limbeck.report.scenes import check_cohort  # noqa: PLC0415

    cohort = Cohort.open(folder)
    check_cohort(rows, cohort)
    return cohort


def _scenes(rows: list[Row], cohort: Cohort, arguments: argparse.Namespace) -> list[Scene]:
    from limbeck.report.scenes import gather  # noqa: PLC0415

    with bar("Cases to look at", 1) as advance:
        return gather(rows, cohort, arguments.masks, arguments.cases, advance)


def _measured(rows: Sequence[Row]) -> list[str]:
    """The commands that score the runs again, one for each protocol, where they are not too many to be named."""
    from limbeck.evaluation.table import RAW  # noqa: PLC0415

    by_protocol: dict[str, list[Row]] = {}
    for row in rows:
        by_protocol.setdefault(row.protocol.rpartition("-")[0], []).append(row)
    commands = []
    for protocol, own in by_protocol.items():
        runs, metrics, subsets = (
            {str(getattr(row, name)): None for row in own} for name in ("run", "metric", "subset")
        )
        if not protocol or len(runs) > _FEW:
            continue
        parts = ["limbeck", "evaluate", *(f"runs/{run}" for run in runs), "--data", "COHORT", "--protocol", protocol]
        parts += ["--metrics", ",".join(metrics), "--subsets", ",".join(subsets)]
        parts += ["--processed"] if any(row.processing != RAW for row in own) else []
        commands.append(shlex.join([*parts, "-o", "results.csv"]))
    return commands


def _command(arguments: argparse.Namespace) -> str:
    """The command that makes the page again, without the way to this machine's folders."""
    names = [path.name for path in arguments.results]
    told = [
        path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}" for path in arguments.results
    ]
    parts = ["limbeck", "report", *told]
    for option in ("runs", "data", "masks"):
        if getattr(arguments, option):
            parts += [f"--{option}", getattr(arguments, option).name]
    if arguments.data:
        parts += ["--cases", arguments.cases]
    if arguments.title != _TITLE:
        parts += ["--title", arguments.title]
    return shlex.join([*parts, "-o", arguments.out.name])
