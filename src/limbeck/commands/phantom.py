"""`limbeck phantom`: synthetic patients in a real data set's layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from limbeck.commands.arguments import at_least, check_folder
from limbeck.commands.bar import bar

# Repeated, since scipy and nibabel would slow every command's start; a test compares it with `phantom.layouts`.
LAYOUTS = ("brats2018", "brats2020", "brats2021", "brats2023", "brats2024", "msd", "nnunet", "bids", "table")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--cases", type=at_least(1), required=True, help="number of patients")
    parser.add_argument("--seed", type=at_least(0), default=0, help="the same seed makes the same patients")
    parser.add_argument("--layout", default="brats2021", help=f"{', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}")
    parser.add_argument("--spacing", type=float, default=1.0, help="voxel size in mm; 1 gives 240x240x155 voxels")
    parser.add_argument(
        "--missing", type=float, default=0.0, metavar="SHARE", help="share of patients who lack one to three sequences"
    )
    parser.add_argument(
        "--cavities",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of patients with a resection cavity (brats2024 alone has a label for it)",
    )
    parser.add_argument("--workers", type=at_least(1), default=None, help="processes (default: one a core)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(arguments: argparse.Namespace) -> int:
    """Make the patients."""
    from limbeck.phantom.absence import absent  # noqa: PLC0415 - scipy would slow every command's start
    from limbeck.phantom.cavity import operated  # noqa: PLC0415
    from limbeck.phantom.cohort import write  # noqa: PLC0415

    check_folder(arguments.out)
    with bar("Phantoms", arguments.cases) as advance:
        names = write(
            arguments.out,
            arguments.cases,
            seed=arguments.seed,
            layout=arguments.layout,
            spacing_mm=arguments.spacing,
            missing=arguments.missing,
            cavities=arguments.cavities,
            workers=arguments.workers,
            progress=advance,
        )
    lacking = sum(bool(absent(arguments.seed, index, arguments.missing)) for index in range(len(names)))
    partial = f"; {lacking} of them lack one to three sequences" if arguments.missing else ""
    holed = sum(operated(arguments.seed, index, arguments.cavities) for index in range(len(names)))
    partial += f"; {holed} have a resection cavity" if arguments.cavities else ""
    print(f"{len(names)} patients in {arguments.out} ({arguments.layout}, {arguments.spacing:g} mm){partial}")
    return 0
