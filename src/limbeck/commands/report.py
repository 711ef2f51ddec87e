"""`limbeck report`: one self-contained page from results."""

from __future__ import annotations

import argparse
from pathlib import Path

from limbeck.commands.arguments import check_file


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="CSV files of limbeck evaluate")
    parser.add_argument("-o", "--out", type=Path, required=True, help="HTML file to write")


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    from limbeck.evaluation.table import read  # noqa: PLC0415
    from limbeck.report import figures, page  # noqa: PLC0415 - matplotlib
    from limbeck.report.tables import compare  # noqa: PLC0415

    check_file(arguments.out, (".html",))
    rows = [row for path in arguments.results for row in read(path)]
    comparison = compare(rows)
    boxes = figures.dice_by_region(arguments.out.with_name(f"{arguments.out.stem}-dice.png"), comparison)
    section = page.Section("Results", comparison=comparison, pictures=[page.Picture(boxes, "Dice by region and run")])
    page.write(arguments.out, "Limbeck results", [section], settings={"runs": len({row.run for row in rows})})
    print(arguments.out)
    return 0
