"""What training, import and prediction cost here: one table, each figure with what it stands for.

    make bench

A training step is timed by turns with its yardstick, so that a machine whose speed drifts slows both alike. Medians
are given. Prediction runs in a process of its own, from file to file, so that start-up and peak memory count.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import evaluation
import importing
import predicting
import steps
import torch
from turns import print_row

from limbeck.anatomy import Subset
from limbeck.batch import View
from limbeck.data.cohort import import_cohort
from limbeck.data.importers import detect_layout
from limbeck.inference.model import Model
from limbeck.inference.predictor import load
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.saved import Card, save
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.target import Target

FLAIR = Subset.parse("flair")
# The command, which at its end says its peak memory.
CODE = """
import sys
from limbeck.cli import main
code = main()
sys.path.insert(0, {here!r})
from steps import peak_mib
print(peak_mib(), file=sys.stderr)
sys.exit(code)
"""
LIMBECK = [sys.executable, "-c", CODE.format(here=str(Path(__file__).parent))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9, help="steps of each method that are counted")
    parser.add_argument("--imported", default="100,1000", help="numbers of cases in the rows of import, at 2 mm")
    parser.add_argument("--folder-cases", type=int, default=6, help="patients in the rows of a folder's prediction")
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {threads} threads, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | value | how |")
    print("|---|--:|---|")
    steps.measure(print_row, arguments.width, arguments.patch, arguments.rounds)
    evaluation.measure(print_row)
    with tempfile.TemporaryDirectory() as folder:
        scan = _import_seconds(Path(folder))
        for spacing, side in ((2.0, 64), (1.0, 96)):
            _prediction(Path(folder), arguments.width, spacing, side, scan)
        _many(Path(folder), arguments)


def _import_seconds(folder: Path) -> Path:
    """Import real-size phantoms on one core; gives the FLAIR scan of one."""
    started = time.perf_counter()
    write_phantoms(folder / "phantoms", 2, spacing_mm=1.0, workers=1)
    seconds = (time.perf_counter() - started) / 2
    print_row("phantom, 240x240x155", f"{seconds:.1f} s", "a case, one core, written to files")
    importer, _ = detect_layout(folder / "phantoms")
    cases = importer.find(folder / "phantoms")
    for spacing in (1.0, 2.0):
        started = time.perf_counter()
        import_cohort(
            cases,
            folder / f"cohort-{spacing:g}",
            spacing_mm=spacing,
            scheme="brats2018",
            layout="brats",
            source=folder / "phantoms",
            workers=1,
        )
        seconds = (time.perf_counter() - started) / len(cases)
        print_row(
            f"import, to {spacing:g} mm",
            f"{seconds:.2f} s",
            "a 240x240x155 case with four sequences and labels, one core",
        )
    return next((folder / "phantoms").glob("*/*_flair.nii.gz"))


def _many(folder: Path, arguments: argparse.Namespace) -> None:
    """Rows about many patients: full cases and small ones imported, a folder segmented."""
    counts = [int(count) for count in arguments.imported.split(",")]
    importing.measure(print_row, folder / "importing full", [12], 1.0, 2)
    importing.measure(print_row, folder / "importing", counts, 2.0, 2)
    place = folder / "predicting"
    model = predicting.untrained(place / "model", arguments.width, 64, 2.0)
    predicting.measure(print_row, place, model, arguments.folder_cases, 1.0, min(arguments.rounds, 3))


def _prediction(folder: Path, width: int, spacing: float, side: int, scan: Path) -> None:
    torch.manual_seed(0)
    kind = find("supervised")
    model = folder / f"model-{spacing:g}"
    method = build("supervised", kind.Settings(width=width), Context((FLAIR,)))
    card = Card(
        "supervised", dataclasses.asdict(method.settings), (FLAIR,), Target.SOFTMAX_LABELS, spacing, (side,) * 3
    )
    save(model, method, card)
    out = folder / f"mask-{spacing:g}.nii.gz"
    command = [*LIMBECK, "predict", str(model), "--flair", str(scan), "-o", str(out), "--overwrite"]
    runs = [_watched(command) for _ in range(3)]
    wall, peak = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
    network = _network_seconds(model, scan)
    how = f"240x240x155 FLAIR, width {width}, {side}^3 windows, from file to file, the whole command, median of 3"
    print_row(f"predict at {spacing:g} mm", f"{wall:.1f} s", how)
    print_row("of this outside the network", f"{1 - network / wall:.0%}", f"the network alone takes {network:.1f} s")
    print_row("peak memory", f"{peak:.0f} MiB", "resident, the whole process, most of 3")


def _watched(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident MiB of a command of limbeck's."""
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - started, float(done.stderr.splitlines()[-1])


def _network_seconds(model: Path, scan: Path) -> float:
    """Seconds that prediction spends inside the method, in this process."""
    predictor = load(model)
    inside = predictor.method.predict
    total = 0.0

    def timed(view: View) -> torch.Tensor:
        nonlocal total
        begun = time.perf_counter()
        scores = inside(view)
        total += time.perf_counter() - begun
        return scores

    predictor.method.predict = timed  # type: ignore[method-assign]
    patient = Model.load(model).read({"flair": scan})
    predictor.scores(torch.from_numpy(patient.prepared.images), patient.choice.subset)
    return total


if __name__ == "__main__":
    main()
