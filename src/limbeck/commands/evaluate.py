"""`limbeck evaluate`: runs become rows of results."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.anatomy import Subset
from limbeck.commands.arguments import check_file, check_folder
from limbeck.commands.bar import bar
from limbeck.errors import LimbeckError, UsageError
from limbeck.lock import held, holder

if TYPE_CHECKING:
    from limbeck.evaluation.table import Row

_LOCK = "evaluate.lock"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="finished run folders")
    parser.add_argument("--data", type=Path, required=True, help="cohort; a run's own is scored on its held-out fold")
    parser.add_argument("--subsets", default="all", help="all that a run serves, or names with commas: flair,t1ce")
    parser.add_argument("--protocol", default="strict", help="strict, or a paper's own: gkd-as-published ...")
    parser.add_argument("--metrics", help="names with commas instead of the protocol's: dice,hd95_mm")
    parser.add_argument(
        "--processed",
        action="store_true",
        help="score predictions without small enhancing tumours too; validation cases choose how small",
    )
    parser.add_argument("--masks", type=Path, metavar="FOLDER", help="keep predictions: RUN/CASE_SUBSET.nii.gz")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("-o", "--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--resume", action="store_true", help="keep the rows of a table that exists, add what lacks")
    parser.add_argument("--overwrite", action="store_true", help="replace a table that exists, drop unfinished work")


def run(arguments: argparse.Namespace) -> int:
    """Score and write; then show the table."""
    _check(arguments)
    journal, lock = _journal(arguments.out), _journal(arguments.out) / _LOCK
    folders = [folder for folder in journal.parents if not folder.exists()]
    try:
        # Two that go on with one table would each leave out what the other has added.
        with held(lock, leave=False) as alone:
            if not alone:
                raise UsageError(f"{arguments.out} is being written by process {holder(lock)}: wait for it, or stop it")
            _check(arguments)
            return _evaluate(arguments, journal)
    finally:
        for folder in folders:
            with contextlib.suppress(OSError):
                # What holds a table or finished cases stays.
                folder.rmdir()


def _evaluate(arguments: argparse.Namespace, journal: Path) -> int:
    from rich.console import Console  # noqa: PLC0415

    from limbeck.data.cohort import Cohort  # noqa: PLC0415 - torch
    from limbeck.evaluation.table import write  # noqa: PLC0415
    from limbeck.report.tables import compare, terminal  # noqa: PLC0415
    from limbeck.scoring import plan_evaluation  # noqa: PLC0415

    cohort = Cohort.open(arguments.data)
    earlier = _earlier(arguments, cohort.hash)
    # All are checked before the first is begun, and before anything is dropped.
    planned = [
        plan_evaluation(
            folder,
            cohort,
            _subsets(arguments.subsets),
            metrics=arguments.metrics.split(",") if arguments.metrics else None,
            protocol=arguments.protocol,
            processed=arguments.processed,
            masks=arguments.masks,
            journal=None if arguments.overwrite else journal,
            earlier=earlier,
        )
        for folder in arguments.runs
    ]
    if arguments.overwrite:
        _drop(journal)
        planned = [replace(evaluation, journals=journal) for evaluation in planned]
    if any(path.is_dir() for path in journal.iterdir()):
        print(f"limbeck: note: going on with what {journal} keeps of an unfinished evaluation", file=sys.stderr)
    for evaluation in planned:
        if evaluation.basis:
            print(f"limbeck: note: {evaluation.run}: {evaluation.basis}", file=sys.stderr)
    measured = {row.key: row for row in earlier}
    for evaluation in planned:
        with bar(evaluation.folder.name, 1) as advance:
            measured |= {row.key: row for row in evaluation.rows(arguments.device, advance)}
    rows = list(measured.values())
    write(arguments.out, rows)
    _drop(journal)
    try:
        Console().print(terminal(compare(rows, patients=cohort.patients)))
    except LimbeckError as error:
        # What was measured is written; a table of these rows would need labels, or Dice.
        print(f"limbeck: note: no table to show: {error}", file=sys.stderr)
    print(f"{len(rows)} rows in {arguments.out}")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be asked for, before anything is read."""
    if arguments.resume and arguments.overwrite:
        raise UsageError("--resume keeps a table and --overwrite replaces it: give one of them")
    check_file(arguments.out, (".csv",), arguments.overwrite or arguments.resume)
    if arguments.masks is not None:
        check_folder(arguments.masks)
    names = [folder.resolve().name for folder in arguments.runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"run {twice[0]} is given twice: expected each run once")


def _subsets(text: str) -> tuple[Subset, ...] | None:
    if text.strip().lower() == "all":
        return None
    subsets = tuple(Subset.parse(part) for part in text.split(","))
    for subset in subsets:
        if subsets.count(subset) > 1:
            raise UsageError(f"subset {subset} is given twice: expected each once")
    return subsets


def _journal(out: Path) -> Path:
    """Where finished cases are kept until the table is written."""
    return out.with_name(f"{out.name}.partial")


def _drop(journal: Path) -> None:
    for run in (path for path in journal.iterdir() if path.is_dir()):
        shutil.rmtree(run, ignore_errors=True)


def _earlier(arguments: argparse.Namespace, data: str) -> Sequence[Row]:
    """The rows of the table that is gone on with.

    Raises:
        UsageError: they are of other data, or by another protocol.
    """
    from limbeck.evaluation.protocol import find  # noqa: PLC0415 - scipy
    from limbeck.evaluation.table import read  # noqa: PLC0415

    if not arguments.resume or not arguments.out.exists():
        return []
    rows = read(arguments.out)
    wanted = find(arguments.protocol).id
    for row in rows:
        if row.protocol != wanted:
            raise UsageError(f"{arguments.out} holds rows by protocol {row.protocol}, not {wanted}: give another --out")
        if row.data != data:
            raise UsageError(f"{arguments.out} holds rows of other data than {arguments.data}: give another --out")
    return rows
