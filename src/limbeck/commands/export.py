"""`limbeck export`: a model in, files of ONNX out, for programs without torch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.commands.arguments import check_file, check_folder
from limbeck.commands.bar import bar
from limbeck.commands.unfinished import tell_unfinished
from limbeck.export.extra import check_extra

if TYPE_CHECKING:
    from limbeck.export.exporting import Exported


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="run folder of limbeck train, or a pack")
    parser.add_argument(
        *("-o", "--out"), type=Path, required=True, metavar="OUT", help="FILE.onnx, or a folder with a file a member"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Export every member, and say how near each comes to torch."""
    if arguments.out.suffix == ".onnx":
        check_file(arguments.out)
    else:
        check_folder(arguments.out)

    check_extra()

    from limbeck.export.exporting import export, members_of  # noqa: PLC0415 - torch

    members = members_of(arguments.model)
    tell_unfinished(arguments.model, members)
    with bar("Export", len(members)) as advance:
        exported = export(members, arguments.out, overwrite=arguments.overwrite, done=advance)
    if arguments.json:
        print(json.dumps({str(one.path): one.facts for one in exported}, indent=1, ensure_ascii=False))
    else:
        for one in exported:
            print(_line(one))
    return 0


def _line(exported: Exported) -> str:
    images, *_ = exported.facts["inputs"]
    what = f"{exported.facts['model']['kind']} for {'+'.join(images['sequences'])}"
    if exported.kept:
        return f"{exported.path}: {what}, from before"
    size, difference = exported.facts["file"]["bytes"] / 1e6, exported.facts["agreement"]["largest_difference"]
    return f"{exported.path}: {what}, {size:.1f} MB, within {difference:.0e} of torch"
