"""`limbeck report`: one self-contained page from results, or a table for a paper."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
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
# What a row has to tell `limbeck evaluate`.
_NAMES = ("run", "metric", "subset")
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
        help="cases to look at: so many from hard to easy, or A,B",
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="RUN=NAME",
        help="what a run is called instead of its method: for runs of one method with other settings; may be repeated",
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
    _spare_results(arguments)
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

    from limbeck.report.provenance import read_runs  # noqa: PLC0415
    from limbeck.report.results import write_results  # noqa: PLC0415 - matplotlib

    rows = _rows(arguments)
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
        commands=_commands(arguments, rows),
    )
    print(arguments.out)
    return 0


def _spare_results(arguments: argparse.Namespace) -> None:
    """Refuse to write over measured rows, which may have taken hours.

    Raises:
        UsageError: the output is one of the results, or other results.
    """
    from limbeck.evaluation.table import holds_rows  # noqa: PLC0415

    if holds_rows(arguments.out):
        raise UsageError(f"output {arguments.out} holds results of limbeck evaluate: give -o another name")


def _rows(arguments: argparse.Namespace) -> list[Row]:
    """All rows, those of a labelled run under its label.

    Raises:
        UsageError: a label is for no run of the results, given twice, or shared by several methods.
    """
    from limbeck.evaluation.table import read  # noqa: PLC0415

    rows = [row for path in arguments.results for row in read(path)]
    methods = {row.run: row.method for row in rows}
    labels: dict[str, str] = {}
    for text in arguments.label:
        given, _, label = text.partition("=")
        run = Path(given).name
        if not label.strip() or run not in methods:
            raise UsageError(f"--label {text}: expected RUN=NAME with a run of the results: {', '.join(methods)}")
        if run in labels:
            raise UsageError(f"--label is given twice for {run}: expected one name for each run")
        labels[run] = label.strip()
    for label in labels.values():
        if len(own := {method for run, method in methods.items() if labels.get(run, method) == label}) > 1:
            raise UsageError(f"label {label!r} covers the methods {', '.join(sorted(own))}: expected a label for each")
    return [replace(row, method=labels.get(row.run, row.method)) for row in rows]


def _write_table(arguments: argparse.Namespace) -> int:
    from limbeck.durable import write_text  # noqa: PLC0415
    from limbeck.report import paper_tables, tables  # noqa: PLC0415

    wanted = [option for option in ("runs", "masks") if getattr(arguments, option)]
    if wanted:
        raise UsageError(f"--{wanted[0]} adds to a page: give -o a name that ends in .html")
    rows = _rows(arguments)
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


def _commands(arguments: argparse.Namespace, rows: Sequence[Row]) -> list[str]:
    """The commands that score the runs and make the page again, without the way to this machine's folders.

    Where runs are too many to be named, their results are taken as given.
    """
    from limbeck.evaluation.comparable import split  # noqa: PLC0415 - scipy

    origins = split(rows)
    scored = []
    for number, (origin, own) in enumerate(origins.items(), 1):
        protocol = origin.protocol.rpartition("-")[0]
        if protocol and len({row.run for row in own}) <= _FEW:
            out = "results.csv" if len(origins) == 1 else f"results-{number}.csv"
            scored.append((out, _scoring(arguments, own, protocol, out)))
    if len(scored) < len(origins):
        scored = []
    names = [out for out, _ in scored] or _told(arguments.results)
    parts = ["limbeck", "report", *names, *_given(arguments), "-o", arguments.out.name]
    return [*(line for _, line in scored), shlex.join(parts)]


def _given(arguments: argparse.Namespace) -> list[str]:
    """The options of a page as they were given."""
    parts = []
    for option in ("runs", "data", "masks"):
        if getattr(arguments, option):
            parts += [f"--{option}", _name(getattr(arguments, option))]
    if arguments.data:
        parts += ["--cases", arguments.cases]
    for label in arguments.label:
        parts += ["--label", label]
    if arguments.title != _TITLE:
        parts += ["--title", arguments.title]
    return parts


def _scoring(arguments: argparse.Namespace, rows: Sequence[Row], protocol: str, out: str) -> str:
    """`limbeck evaluate` for rows of one protocol and cohort."""
    from limbeck.evaluation.table import RAW  # noqa: PLC0415

    runs, metrics, subsets = (dict.fromkeys(str(getattr(row, name)) for row in rows) for name in _NAMES)
    folder = _name(arguments.runs) if arguments.runs else "runs"
    data = _name(arguments.data) if arguments.data else "COHORT"
    parts = ["limbeck", "evaluate", *(f"{folder}/{run}" for run in runs), "--data", data, "--protocol", protocol]
    parts += ["--metrics", ",".join(metrics), "--subsets", ",".join(subsets)]
    parts += ["--processed"] if any(row.processing != RAW for row in rows) else []
    parts += ["--masks", _name(arguments.masks)] if arguments.masks else []
    return shlex.join([*parts, "-o", out])


def _name(folder: Path) -> str:
    return folder.resolve().name


def _told(files: Sequence[Path]) -> list[str]:
    """Files by their names, and where those would not do, from the folder that holds all of them."""
    names = [file.name for file in files]
    if len(set(names)) == len(names):
        return names
    whole = [file.absolute() for file in files]
    shared = os.path.commonpath([file.parent for file in whole])
    return [str(file.relative_to(shared)) for file in whole]
