"""The rates that `estimate.py` reads, measured on this device at the common recipe's crop, as JSON.

python benchmarks/rates.py --device-name "two CPU cores" --out docs/results/rates.json
python benchmarks/rates.py --together gkd=0.70,pkdr=0.72               with the shares that benchmarks/together.py gave
python benchmarks/rates.py --rounds 1 --width 8 --patch 32 --spacing 4                 quickly, to see that it runs

Steps by turns and their medians, as in `steps.py`; import, prediction from FLAIR and scoring of full-size phantoms in
a cohort of 2 mm, by the functions that evaluation calls. A prediction that is two voxels off is scored, since an
untrained network's speckle takes far longer than whatever a trained one gives.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import predicting
from steps import stepper

from limbeck.anatomy import Subset
from limbeck.data.cohort import import_cohort
from limbeck.data.importers import detect_layout
from limbeck.durable import write_text
from limbeck.evaluation.metrics import STANDARD, score
from limbeck.inference.predictor import load
from limbeck.methods import METHODS
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.training.trainer import TrainingSettings, fabric_for

MADE = 2


def of_steps(width: int, side: int, rounds: int) -> dict[str, float]:
    """Method -> median seconds of a step, by turns in both directions of order; the first turn is not counted."""
    fabric = fabric_for(TrainingSettings())
    steppers = {name: stepper(name, width, (side, side, side), 2) for name in METHODS}
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for turn in range(rounds + 1):
        for name in list(METHODS)[:: 1 if turn % 2 else -1]:
            seconds[name].append(_seconds(lambda name=name: steppers[name](fabric)))
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def of_cases(folder: Path, width: int, side: int, rounds: int, spacing: float) -> dict[str, float]:
    """Seconds of import, prediction and scoring of a case."""
    write_phantoms(folder / "made", MADE, spacing_mm=spacing / 2, workers=1)
    importer, _ = detect_layout(folder / "made")
    cases = importer.find(folder / "made")
    settings: dict[str, Any] = {"scheme": importer.codes(folder / "made", cases).scheme, "layout": importer.name}
    started = time.perf_counter()
    cohort = import_cohort(cases, folder / "cohort", source=folder / "made", spacing_mm=spacing, workers=1, **settings)
    imported = (time.perf_counter() - started) / MADE
    predicting.untrained(folder / "model", width, side, spacing)
    predictor = load(folder / "model")
    case, flair = cohort.cases[0], Subset.parse("flair")
    reference, grid = case.reference()
    near, edges = np.roll(reference, 2, axis=0), grid.spacing_mm
    return {
        "import_seconds": imported,
        "inference_seconds": _median(lambda: predictor.segment_case(case, flair), rounds),
        "scoring_seconds": _median(lambda: score(near, reference, edges, STANDARD), rounds),
        "dice_seconds": _median(lambda: score(near, reference, edges, ("dice",)), rounds),
    }


def _median(work: Callable[[], object], rounds: int) -> float:
    """Of so many rounds, after one that is not counted."""
    return statistics.median([_seconds(work) for _ in range(rounds + 1)][1:])


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _shares(text: str) -> dict[str, float]:
    return {name: float(share) for name, share in (part.split("=") for part in text.split(","))} if text else {}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device-name", default=platform.machine(), help="what is measured, in words")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spacing", type=float, default=2.0, help="of the cohort; its scans have half of it")
    parser.add_argument("--together", type=_shares, default="", metavar="METHOD=SHARE,...")
    parser.add_argument("--out", type=Path, help="JSON file to write (default: print it)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = of_cases(Path(folder), arguments.width, arguments.patch, arguments.rounds, arguments.spacing)
    steps = of_steps(arguments.width, arguments.patch, arguments.rounds)
    how = f"width {arguments.width}, two {arguments.patch}^3 crops, median of {arguments.rounds}"
    rates = {
        "device": arguments.device_name,
        "source": f"benchmarks/rates.py, {time.strftime('%Y-%m-%d')}: {how}, cohort of {arguments.spacing:g} mm",
        **{name: round(value, 4) for name, value in seconds.items()},
        "step_seconds": {name: round(value, 4) for name, value in steps.items()},
        "together": arguments.together,
    }
    text = json.dumps(rates, indent=2) + "\n"
    if arguments.out:
        write_text(arguments.out, text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
