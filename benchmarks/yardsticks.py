"""Training, sliding window and prediction beside MONAI's ways to the same result, in one run.

python benchmarks/yardsticks.py                                all; about half an hour on two cores
python benchmarks/yardsticks.py --only training --rounds 9     one of: training, window, files
python benchmarks/yardsticks.py --quick                        in a minute, only to see that it runs

Each pair must agree in what it computes before it is timed; then its ways take turns, in both directions of order.
Ratios are MONAI's time by ours: above 1, ours is quicker.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import monai
import torch
import yardstick_files
import yardstick_training
import yardstick_window
from briefly_trained import Sizes, train
from turns import print_row
from yardstick_ours import Sizes as TrainingSizes

from limbeck.phantom.cohort import write as write_phantoms

PARTS = ("training", "window", "files")
FINE = Sizes()
COARSE = Sizes(spacing=2.0, window=64)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5, help="turns that count")
    parser.add_argument("--quick", action="store_true", help="tiny phantoms and one turn")
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    versions = f"torch {torch.__version__}, MONAI {monai.__version__}"
    print(f"{platform.machine()}, {threads} threads, {versions}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | value | how |")
    print("|---|--:|---|")
    parts = (arguments.only,) if arguments.only else PARTS
    with tempfile.TemporaryDirectory() as folder:
        if "training" in parts:
            _training(Path(folder) / "training", arguments)
        if "window" in parts or "files" in parts:
            _prediction(Path(folder), parts, arguments)


def _training(folder: Path, arguments: argparse.Namespace) -> None:
    sizes = TrainingSizes(rounds=arguments.rounds)
    if arguments.quick:
        sizes = replace(sizes, spacing=6.0, cases=2, width=8, side=24, steps=1, rounds=1, workers=0)
    write_phantoms(folder / "phantoms", sizes.cases, spacing_mm=sizes.spacing, workers=1)
    yardstick_training.measure(print_row, folder, folder / "phantoms", sizes)


def _prediction(folder: Path, parts: tuple[str, ...], arguments: argparse.Namespace) -> None:
    # Real size, without and with resampling.
    rounds, both = arguments.rounds, (FINE, COARSE)
    if arguments.quick:
        quick = Sizes(made=3.0, spacing=3.0, width=8, window=32, side=32, cases=1)
        rounds, both = 1, (quick, replace(quick, spacing=4.0))
    for sizes in both:
        place = folder / f"{sizes.spacing:g} mm"
        trained = train(place, sizes)
        if "window" in parts and sizes.spacing == sizes.made:
            yardstick_window.measure(print_row, trained, sizes.window, rounds)
        if "files" in parts:
            yardstick_files.measure(print_row, place, trained, sizes, rounds)


if __name__ == "__main__":
    main()
