"""`limbeck phantom`: synthetic patients in a real data set's layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from limbeck.commands.arguments import at_least, check_folder
from limbeck.commands.bar import bar


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--cases", type=at_least(1), required=True, help="number of patients")
    parser.add_argument("--seed", type=at_least(0), default=0, help="the same seed makes the same patients")
    parser.add_argument("--layout", default="brats2021", help="brats2021, brats2018 or msd")
    parser.add_argument("--spacing", type=float, default=1.0, help="voxel size in mm; 1 gives 240x240x155 voxels")
    parser.add_argument("--workers", type=at_least(1), default=None, help="processes (default: one a core)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(arguments: argparse.Namespace) -> int:
    """Make the patients."""
    from limbeck.phantom.cohort import write  # noqa: PLC0415 - scipy would slow every command's start

    check_folder(arguments.out)
    with bar("Phantoms", arguments.cases) as advance:
        names = write(
            arguments.out,
            arguments.cases,
            seed=arguments.seed,
            layout=arguments.layout,
            spacing_mm=arguments.spacing,
            workers=arguments.workers,
            progress=advance,
        )
    print(f"{len(names)} patients in {arguments.out} ({arguments.layout}, {arguments.spacing:g} mm)")
    return 0
