"""Where the time of a prediction goes, from file to file, beside the bare network.

python benchmarks/inference.py                                           a real-size phantom at 2 and 1 mm
python benchmarks/inference.py --phantom-spacing 4 --models 4:32 --rounds 1     quickly, only to see that it runs

Each round is a process of its own that predicts one FLAIR scan as `limbeck predict` does, and tells the seconds of each
part; formats of number take turns, in both directions of order. The bare network is timed in the same process, after
the prediction: forward passes over the windows of the brain's box, with the overlap as shipped, and nothing else.
Before anything is timed, the masks of the command and of the parts are compared, byte for byte. Medians are given; peak
memory is the most of all rounds, of the whole process, before the bare network ran.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from turns import print_row

from limbeck.anatomy import Subset
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.saved import Card, save
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.target import Target

COMMAND = "import sys; from limbeck.cli import main; sys.exit(main(sys.argv[1:]))"
PARTS = """
import json, sys, time
started = time.time()
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import inference_parts
imported = time.time()
seconds = {"start of Python": started - float(sys.argv[2]), "imports": imported - started}
model, scan, mask = map(Path, sys.argv[3:6])
print(json.dumps({**seconds, **inference_parts.measured(model, scan, mask, sys.argv[6])}))
"""
FORMATS = ("bf16", "float32")
# What a process does before it predicts; the rest is between the files.
START = ("start of Python", "imports")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantom-spacing", type=float, default=1.0, help="in mm; 1 is 240x240x155 voxels")
    parser.add_argument("--models", default="2:64,1:96", help="spacing in mm and side of the windows")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, ", end="")
    print(f"{time.strftime('%Y-%m-%d')}\n\n| what | value | how |\n|---|--:|---|")
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(Path(folder) / "phantoms", 1, spacing_mm=arguments.phantom_spacing, workers=1)
        scan = next((Path(folder) / "phantoms").glob("*/*_flair.nii.gz"))
        for pair in arguments.models.split(","):
            spacing, side = pair.split(":")
            _measure(Path(folder), scan, float(spacing), int(side), arguments)


def _measure(root: Path, scan: Path, spacing: float, side: int, arguments: argparse.Namespace) -> None:
    """The rows of one model."""
    model = root / f"model-{spacing:g}"
    _untrained(model, arguments.width, side, spacing)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in FORMATS}
    _check_same(model, scan, root)
    for turn in range(arguments.rounds):
        for precision in FORMATS if turn % 2 else FORMATS[::-1]:
            found[precision].append(_process(model, scan, root / "mask.nii.gz", precision))
    for precision, rounds in found.items():
        _tell(f"{spacing:g} mm, {precision}", rounds, f"width {arguments.width}, {side}^3 windows")


def _tell(name: str, rounds: list[dict[str, float]], how: str) -> None:
    peak = max(one.pop("peak") for one in rounds)
    windows = max(one.pop("windows") for one in rounds)
    bare = [one.pop("bare network") for one in rounds]
    how = f"{how}, median of {len(rounds)} processes"
    for part in rounds[0]:
        print_row(f"predict at {name}: {part}", f"{statistics.median(one[part] for one in rounds):.2f} s", how)
    print_row(f"predict at {name}: bare network", f"{statistics.median(bare):.2f} s", f"{windows:.0f} windows, {how}")
    for words, left_out in (("with", ()), ("without", START)):
        totals = [sum(seconds for part, seconds in one.items() if part not in left_out) for one in rounds]
        print_row(
            f"predict at {name}, all, {words} start and imports",
            f"{statistics.median(totals):.2f} s",
            f"{statistics.median(a / b for a, b in zip(totals, bare, strict=True)):.2f} times the bare network, paired",
        )
    print_row(f"predict at {name}: peak memory", f"{peak:.0f} MiB", "resident, the whole process, most of all rounds")


def _untrained(folder: Path, width: int, side: int, spacing: float) -> None:
    """A specialist for FLAIR, which costs what a trained one costs."""
    torch.manual_seed(0)
    flair = (Subset.parse("flair"),)
    method = build("supervised", find("supervised").Settings(width=width), Context(flair))
    settings = dataclasses.asdict(method.settings)
    save(folder, method, Card("supervised", settings, flair, Target.SOFTMAX_LABELS, spacing, (side,) * 3))


def _check_same(model: Path, scan: Path, root: Path) -> None:
    """Stop if the parts that are timed do not make the mask that the command makes."""
    words = ["predict", str(model), "--flair", str(scan), "-o", str(root / "whole.nii.gz"), "--overwrite"]
    subprocess.run([sys.executable, "-c", COMMAND, *words], check=True, capture_output=True)
    _process(model, scan, root / "mask.nii.gz", "auto")
    if (root / "whole.nii.gz").read_bytes() != (root / "mask.nii.gz").read_bytes():
        raise SystemExit("the parts and the command gave different masks")


def _process(model: Path, scan: Path, mask: Path, precision: str) -> dict[str, float]:
    """Seconds of each part, in a process of its own."""
    words = [str(Path(__file__).parent), str(time.time()), str(model), str(scan), str(mask), precision]
    done = subprocess.run([sys.executable, "-c", PARTS, *words], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
