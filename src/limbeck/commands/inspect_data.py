"""`limbeck inspect`: every problem of a data set or cohort at once."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from limbeck.commands.bar import bar
from limbeck.errors import DataError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("source", type=Path, help="folder of a data set, or a cohort")
    parser.add_argument("--layout", default="auto", help="auto, brats or msd")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; exit code 3 when something makes a case unusable."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from limbeck.data.inspection import inspect  # noqa: PLC0415 - nibabel

    with bar("Inspect", 1) as advance:
        report = inspect(arguments.source, layout=arguments.layout, progress=advance)
    if arguments.json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        print(
            f"{arguments.source}: {report.explanation}; {len(report.cases)} cases, "
            f"{report.errors} errors, {report.warnings} warnings"
        )
        if report.findings:
            table = Table()
            for heading in ("case", "severity", "what", "remedy"):
                # A path must be whole, however narrow the screen.
                table.add_column(heading, overflow="fold")
            for finding in sorted(report.findings, key=lambda finding: finding.severity != "error"):
                table.add_row(finding.case, finding.severity, finding.what, finding.remedy)
            Console().print(table)
    return DataError.exit_code if report.errors else 0
