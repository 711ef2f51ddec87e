"""Our prediction from file to file beside a plain MONAI script with the same weights, each a process of its own.

python benchmarks/yardsticks.py --only files

The script (yardstick_bundle.py) runs twice: over the whole scan, as such scripts do, and with MONAI's crop to the
foreground, so that its windows lie where ours do; masks must then agree before anything is timed.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from briefly_trained import Sizes, Trained
from numpy.typing import NDArray
from turns import Row, by_turns, tell_ratios

from limbeck.methods.precision import uses_bf16

OURS = "limbeck predict"
PLAIN, CROPPED = "MONAI script", "MONAI script with a crop"
# The same for both: what is asked for runs, and then says the most memory that it has held.
CODE = """
import runpy, sys
sys.argv = sys.argv[1:]
if sys.argv[0] == "limbeck":
    from limbeck.cli import main
    code = main()
else:
    code = 0
    runpy.run_path(sys.argv[0], run_name="__main__")
print(*[line for line in open("/proc/self/status") if line.startswith("VmHWM")], file=sys.stderr)
sys.exit(code)
"""
# Codes of BraTS 2018.
REGIONS: Mapping[str, tuple[int, ...]] = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
# With the same windows and no resampling, nothing is left but rounding. Resampled, or with windows that lie elsewhere,
# masks are told and not judged: a network of a minute's training does not forgive a shift of its windows.
SAME_MASKS = 0.99
# Of tumour; below, an agreement says nothing.
FEWEST = 50


def measure(row: Row, folder: Path, trained: Trained, sizes: Sizes, rounds: int) -> None:
    """All rows about one spacing."""
    peaks: dict[str, list[float]] = {}
    commands = _commands(folder, trained, sizes)
    ways = {way: _watched(command, peaks.setdefault(way, [])) for way, command in commands.items()}
    for way, run in ways.items():
        (folder / way).mkdir(parents=True, exist_ok=True)
        run()
    masks = {way: _read(folder / way / trained.scan.name) for way in ways}
    for way in (PLAIN, CROPPED):
        _tell_agreement(row, way, masks, sizes)
    seconds = by_turns(ways, rounds)
    what = f"at {sizes.spacing:g} mm"
    shape = "x".join(map(str, masks[OURS].shape))
    how = f"one {shape} scan from file to file, width {sizes.width}, {sizes.window}^3 windows, whole process"
    for way, values in seconds.items():
        row(f"{way} {what}", f"{statistics.median(values):.1f} s", f"{how}, median of {rounds}")
        row(f"peak memory of {way} {what}", f"{max(peaks[way]):.0f} MiB", f"resident, most of {len(peaks[way])}")
    tell_ratios(row, seconds, OURS, what)


def _commands(folder: Path, trained: Trained, sizes: Sizes) -> dict[str, list[str]]:
    (weights,) = trained.folder.glob("weights-*.safetensors")
    scan = str(trained.scan)
    mask = str(folder / OURS / trained.scan.name)
    script = [str(Path(__file__).with_name("yardstick_bundle.py")), "--weights", str(weights), "--scan", scan]
    script += ["--spacing", str(sizes.spacing), "--window", str(sizes.window), "--width", str(sizes.width)]
    script += ["--bf16"] if uses_bf16("auto", torch.device("cpu")) else []
    return {
        OURS: ["limbeck", "predict", str(trained.folder), "--flair", scan, "-o", mask, "--overwrite"],
        PLAIN: [*script, "--out", str(folder / PLAIN)],
        CROPPED: [*script, "--out", str(folder / CROPPED), "--crop"],
    }


def _watched(words: list[str], peaks: list[float]) -> Callable[[], None]:
    """A function that runs a command to its end and notes the peak of its resident memory in MiB."""

    def run() -> None:
        done = subprocess.run([sys.executable, "-c", CODE, *words], check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{words[0]}: {done.stderr.strip()}")
        (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stderr)
        peaks.append(int(kibibytes) / 1024)

    return run


def _read(mask: Path) -> NDArray[np.uint8]:
    return np.asarray(nib.load(mask).dataobj, np.uint8)


def _tell_agreement(row: Row, way: str, masks: Mapping[str, NDArray[np.uint8]], sizes: Sizes) -> None:
    """A row with the Dice of each region between a yardstick's mask and ours.

    Raises:
        SystemExit: there is next to nothing to compare, or the masks are not of one network.
    """
    dice = {}
    for region, codes in REGIONS.items():
        ours, theirs = (np.isin(masks[name], codes) for name in (OURS, way))
        both = int(ours.sum() + theirs.sum())
        dice[region] = 2 * int((ours & theirs).sum()) / both if both else 1.0
    voxels = int((masks[OURS] > 0).sum())
    least = SAME_MASKS if way == CROPPED and sizes.spacing == sizes.made else 0.0
    if voxels < FEWEST or not dice["WT"] >= least:
        raise SystemExit(
            f"{way}: Dice {dice} in {voxels} voxels of tumour: expected WT of at least {least} in {FEWEST}"
        )
    found = ", ".join(f"{region} {value:.4f}" for region, value in dice.items())
    row(
        f"agreement with the {way} at {sizes.spacing:g} mm", found, f"Dice of the masks; our tumour has {voxels} voxels"
    )
