"""What scoring a case and writing a report cost in processor time, on one core.

make bench

python benchmarks/evaluation.py    these rows alone
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from limbeck.anatomy import Label, Region, Subset
from limbeck.evaluation.metrics import METRICS, score
from limbeck.evaluation.table import Row as ResultRow
from limbeck.phantom.patient import make
from limbeck.report.results import write_results

ROUNDS = 5
SPACING_MM = (1.0, 1.0, 1.0)
# A patient of the phantoms with a large tumour in three tissues.
SEED, INDEX = 0, 3

Put = Callable[[str, str, str], None]
Labels = NDArray[np.uint8]


def measure(row: Put) -> None:
    """All rows about metrics and reports."""
    reference = make(SEED, INDEX).labels
    size = " x ".join(map(str, reference.shape))
    volume = np.count_nonzero(reference) / 1000
    for name, prediction in _predictions(reference).items():
        seconds = [_seconds(prediction, reference) for _ in range(ROUNDS)]
        what = f"{size}, 3 regions, {len(METRICS)} metrics, tumour of {volume:.0f} ml"
        how = f"{what}, processor time of one core, median of {ROUNDS}"
        row(f"metrics of a case, {name}", f"{statistics.median(seconds):.2f} s", how)

    rows = _results()
    with TemporaryDirectory() as folder:
        started = time.process_time()
        write_results(Path(folder) / "report.html", rows)
        seconds_of_report = time.process_time() - started
    how = "4 methods, 15 subsets, 28 cases, Dice and HD95; maps, tests, ranking, tables; processor time, one core"
    row(f"report of {len(rows):,} rows", f"{seconds_of_report:.1f} s", how)


def _results() -> list[ResultRow]:
    """Made-up results of a benchmark."""
    rng = np.random.default_rng(0)
    return [
        ResultRow(f"{method}-{subset}", method, 0, 0, f"case-{case}", subset, region, metric, float(rng.random()))
        for method in ("supervised", "dropout", "gkd", "rirn")
        for subset in Subset.every()
        for case in range(28)
        for region in Region
        for metric in ("dice", "hd95_mm")
    ]


def _predictions(reference: Labels) -> dict[str, Labels]:
    """What a network may say, from good to hopeless."""
    rng = np.random.default_rng(0)
    bend = [
        ndimage.zoom(rng.normal(0, 2, (13, 13, 9)), np.divide(reference.shape, (13, 13, 9)), order=1)
        for _ in range(reference.ndim)
    ]
    good = ndimage.map_coordinates(reference, np.indices(reference.shape) + bend, order=0)
    strays = good.copy()
    for corner in rng.integers(10, np.subtract(reference.shape, 10), (20, 3)):
        strays[tuple(slice(place, place + 4) for place in corner)] = Label.ENHANCING
    speckle = rng.integers(0, Label.ENHANCING, reference.shape, dtype=np.uint8, endpoint=True)
    return {
        "borders off by some 2 mm": good,
        "and 20 false lesions": strays,
        "everything marked": np.full_like(reference, Label.ENHANCING),
        "noise": speckle,
    }


def _seconds(prediction: Labels, reference: Labels) -> float:
    started = time.process_time()
    score(prediction, reference, SPACING_MM, tuple(METRICS))
    return time.process_time() - started


if __name__ == "__main__":
    measure(lambda *cells: print("|", " | ".join(cells), "|", flush=True))
