"""Our training step beside the same network fed by MONAI's usual dictionary pipeline from a CacheDataset.

python benchmarks/yardsticks.py --only training

Network, weights, optimiser, number format, crop, batch and data are the same; so are the kinds of augmentation and
their probabilities, as far as MONAI has them (it draws an intensity change once for all sequences of a crop, we for
each by itself). Before anything is timed, both must make the same image of a patient, and on one crop give the same
loss and the same gradients. A turn is an epoch: loaders start with it and have nothing left in store at its end.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from turns import Row, by_turns, tell_ratios
from yardstick_agreement import agreement
from yardstick_monai import cache, their_epoch
from yardstick_ours import Sizes, imported, in_bf16, our_epoch

from limbeck.anatomy import Subset

SUBSETS = ("flair", "all")
OURS = "ours"


def measure(row: Row, folder: Path, phantoms: Path, sizes: Sizes) -> None:
    """All rows about training; `phantoms` holds the patients' files."""
    cohort = imported(phantoms, folder / "cohort", sizes)
    for name in SUBSETS:
        subset = Subset.parse(name)
        found = agreement(cohort, phantoms, subset, sizes)
        row(f"agreement before training {name}", found, "float32, same weights, one crop without augmentation")
        ways = {OURS: our_epoch(cohort, subset, sizes)}
        kept = cache(phantoms, subset, sizes.spacing, sizes.patch)
        for workers in sorted({0, sizes.workers}):
            ways[f"MONAI with {_processes(workers)}"] = their_epoch(kept, subset, sizes, workers)
        seconds = by_turns(ways, sizes.rounds)
        precision = "bf16" if in_bf16() else "float32"
        how = f"width {sizes.width}, {sizes.batch} {sizes.side}^3 crops, {precision}, reading and augmenting included, "
        how += f"median of {sizes.rounds} epochs of {sizes.steps} steps"
        for way, values in seconds.items():
            row(f"training step on {name}, {way}", f"{statistics.median(values) / sizes.steps:.3f} s", how)
        tell_ratios(row, seconds, OURS, f"training step on {name}")
    _fill(row, folder, phantoms, sizes)
    for way, script, data in ((OURS, "ours", cohort.path), ("MONAI", "monai", phantoms)):
        path = Path(__file__).with_name(f"yardstick_{script}.py")
        words = [sys.executable, str(path), str(data), json.dumps(dataclasses.asdict(sizes))]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        peak = float(done.stdout.split()[-1])
        row(f"peak memory of training on all, {way}", f"{peak:.0f} MiB", f"resident, own process, {sizes.cases} cases")


def _processes(number: int) -> str:
    return f"{number} workers" if number else "no workers"


def _fill(row: Row, folder: Path, phantoms: Path, sizes: Sizes) -> None:
    """What it takes before the first step: our import, which is done once, and the filling of MONAI's cache."""
    out = folder / "again"

    def ours() -> None:
        shutil.rmtree(out, ignore_errors=True)
        imported(phantoms, out, sizes)

    everything = Subset.parse("all")
    ways = {"our import": ours, "MONAI's cache": lambda: cache(phantoms, everything, sizes.spacing, sizes.patch)}
    seconds = by_turns(ways, sizes.rounds)
    often = {"our import": "once, written to disk", "MONAI's cache": "at every start, kept in memory"}
    for way, values in seconds.items():
        how = f"a case of four sequences and labels, one worker, {often[way]}, median of {sizes.rounds}"
        row(f"{way}, to {sizes.spacing:g} mm", f"{statistics.median(values) / sizes.cases:.3f} s", how)
    tell_ratios(row, seconds, "our import", "what comes first")
