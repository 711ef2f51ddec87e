"""`limbeck evaluate`: runs become rows of results."""

from __future__ import annotations

import argparse
from pathlib import Path

from limbeck.anatomy import Subset
from limbeck.commands.arguments import check_file
from limbeck.commands.bar import bar
from limbeck.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="finished run folders")
    parser.add_argument("--data", type=Path, required=True, help="cohort; a run's own is scored on its held-out fold")
    parser.add_argument("--subsets", default="all", help="all that a run serves, or names with commas: flair,t1ce")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a table that exists")


def run(arguments: argparse.Namespace) -> int:
    """Score and write; then show the table."""
    from rich.console import Console  # noqa: PLC0415

    from limbeck.data.cohort import Cohort  # noqa: PLC0415 - torch
    from limbeck.evaluation.table import write  # noqa: PLC0415
    from limbeck.report.tables import compare, terminal  # noqa: PLC0415
    from limbeck.scoring import evaluate_run  # noqa: PLC0415

    check_file(arguments.out, (".csv",), arguments.overwrite)
    names = [folder.resolve().name for folder in arguments.runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"run {twice[0]} is given twice: expected each run once")
    wanted = None
    if arguments.subsets != "all":
        wanted = tuple(Subset.parse(text) for text in arguments.subsets.split(","))
    cohort = Cohort.open(arguments.data)
    rows = []
    for folder in arguments.runs:
        with bar(folder.name, 1) as advance:
            rows += evaluate_run(folder, cohort, wanted, device=arguments.device, progress=advance)
    write(arguments.out, rows)
    Console().print(terminal(compare(rows)))
    print(f"{len(rows)} rows in {arguments.out}")
    return 0
