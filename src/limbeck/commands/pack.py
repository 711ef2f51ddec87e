"""`limbeck pack`: finished runs in, one model out that picks by what is given."""

from __future__ import annotations

import argparse
from pathlib import Path

from limbeck.commands.arguments import check_folder


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="finished run folders of limbeck train")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="MODEL", help="folder to make")
    parser.add_argument("--name", help="what predictions say made them (default: the folder's name)")
    parser.add_argument("--note", metavar="TEXT", help="your words for the model card")
    parser.add_argument("--half", action="store_true", help="weights as 16-bit numbers, in half of the bytes")
    parser.add_argument("--overwrite", action="store_true", help="replace a pack that lies there")


def run(arguments: argparse.Namespace) -> int:
    """Pack the runs, and say what the model serves."""
    check_folder(arguments.out)

    from limbeck.inference.choice import served  # noqa: PLC0415 - torch
    from limbeck.inference.packing import pack  # noqa: PLC0415

    made = pack(
        arguments.runs,
        arguments.out,
        name=arguments.name,
        note=arguments.note or "",
        half=arguments.half,
        overwrite=arguments.overwrite,
    )
    subsets = served([member.service for member in made.members])
    serves = "any sequences" if len(subsets) == 15 else ", ".join(map(str, subsets))
    members = "1 member" if len(made.members) == 1 else f"{len(made.members)} members"
    print(f"{arguments.out}: {members}, for {serves}; its README.md tells what a user should know")
    return 0
