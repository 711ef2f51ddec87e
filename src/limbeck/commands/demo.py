"""`limbeck demo`: the main job in small."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from limbeck.commands.arguments import at_least, check_folder
from limbeck.commands.bar import bar


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write")
    parser.add_argument("--cases", type=at_least(3), default=48, help="phantoms; a third is held out")
    parser.add_argument("--steps", type=at_least(1), default=600, help="training steps of each of the three runs")
    parser.add_argument("--subset", default="flair", help="what the students see")
    parser.add_argument("--spacing", type=float, default=2.0, help="voxel size in mm")
    parser.add_argument("--width", type=int, default=8, help="network width")
    parser.add_argument("--patch", type=int, default=48, help="side of the crops in voxels")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of phantoms, weights and crops")


def run(arguments: argparse.Namespace) -> int:
    """Run it and show the table."""
    from rich.console import Console  # noqa: PLC0415

    from limbeck.demo import DemoSettings, demonstrate  # noqa: PLC0415 - torch
    from limbeck.report.tables import terminal  # noqa: PLC0415

    check_folder(arguments.out)
    started = time.monotonic()
    names = ("cases", "spacing", "steps", "width", "patch", "subset", "seed")
    settings = DemoSettings(**{name: getattr(arguments, name) for name in names})
    result = demonstrate(arguments.out, settings, bar)
    console = Console()
    console.print(terminal(result.comparison))
    console.print(result.verdict, highlight=False)
    minutes = (time.monotonic() - started) / 60
    print(f"\n{minutes:.1f} minutes. Report: {result.report}  Picture: {result.picture}")
    return 0
