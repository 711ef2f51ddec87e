"""What it saves to read the next patients and write the last while the network works on one.

python benchmarks/predicting.py                                  real-size patients, a network of width 16
python benchmarks/predicting.py --cases 3 --spacing 4 --patch 32 --rounds 1    quickly, only to see that it runs

A folder of phantoms is segmented with everything overlapped, and again one patient after the other, by turns in one
process, so that a machine whose speed drifts slows both alike. The files of both must be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from steps import peak_mib
from turns import Row, print_row

from limbeck.anatomy import Subset
from limbeck.data.importers import detect_layout
from limbeck.inference.files import Files, Options
from limbeck.inference.folder import Job, segment_all
from limbeck.inference.model import Model
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.saved import Card, save
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.target import Target

METHOD = "dropout"
PLAIN = Options()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--spacing", type=float, default=1.0, help="of the phantoms, in mm")
    parser.add_argument("--model-spacing", type=float, help="of the network, in mm; the phantoms' if not given")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--probabilities", action="store_true", help="write them too")
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {threads} threads, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | value | how |")
    print("|---|--:|---|")
    spacing_mm = arguments.model_spacing or arguments.spacing
    with tempfile.TemporaryDirectory() as folder:
        model = untrained(Path(folder) / "model", arguments.width, arguments.patch, spacing_mm)
        options = Options(probabilities=arguments.probabilities)
        measure(print_row, Path(folder), model, arguments.cases, arguments.spacing, arguments.rounds, options)
    print_row("peak memory", f"{peak_mib():.0f} MiB", "resident, the whole process")


def measure(
    row: Row, root: Path, model: Model, cases: int, spacing: float, rounds: int, options: Options = PLAIN
) -> None:
    """All rows about a folder of patients."""
    write_phantoms(root / "phantoms", cases, spacing_mm=spacing)
    seconds = _by_turns(model, root, options, rounds)
    card = model.members[0].card
    how = f"{cases} phantoms of {spacing:g} mm, four sequences, network at {card.spacing_mm:g} mm, "
    how += f"width {card.settings['width']}, {card.patch[0]}^3 windows, median of {rounds}"
    for name, values in seconds.items():
        row(f"predict a folder, {name}", f"{statistics.median(values) / cases:.2f} s a patient", how)
    ratios = [apart / together for together, apart in zip(*seconds.values(), strict=True)]
    spread = f"paired, {min(ratios):.2f} to {max(ratios):.2f} over the turns; the files are the same"
    row("ratio one after the other / overlapped", f"{statistics.median(ratios):.2f}", spread)


def untrained(folder: Path, width: int, side: int, spacing_mm: float) -> Model:
    """An untrained generalist, which costs what a trained one costs."""
    torch.manual_seed(0)
    kind = find(METHOD)
    method = build(METHOD, kind.Settings(width=width), Context(Subset.every()))
    settings = dataclasses.asdict(method.settings)
    save(folder, method, Card(METHOD, settings, Subset.every(), Target.SOFTMAX_LABELS, spacing_mm, (side,) * 3))
    return Model.load(folder)


def _by_turns(model: Model, root: Path, options: Options, rounds: int) -> dict[str, list[float]]:
    """Seconds for the whole folder, overlapped and one after the other, each `rounds` times after a turn to warm up."""
    importer, _ = detect_layout(root / "phantoms")
    cases = importer.find(root / "phantoms")
    seconds: dict[str, list[float]] = {"overlapped": [], "one after the other": []}
    for turn in range(rounds + 1):
        # Both directions of order, since one may profit from what the other left in the caches.
        for name in list(seconds) if turn % 2 else list(seconds)[::-1]:
            out = root / name
            shutil.rmtree(out, ignore_errors=True)
            jobs = [Job(case.id, case.images, Files(out / f"{case.id}.nii.gz")) for case in cases]
            started = time.perf_counter()
            for batch in [jobs] if name == "overlapped" else [[job] for job in jobs]:
                _segment(model, batch, options)
            if turn:
                seconds[name].append(time.perf_counter() - started)
        _check_same(*(root / name for name in seconds))
    return seconds


def _segment(model: Model, jobs: Sequence[Job], options: Options) -> None:
    for outcome in segment_all(model, jobs, options):
        if outcome.error is not None:
            raise outcome.error


def _check_same(first: Path, second: Path) -> None:
    """Stop if the two ways gave different files."""
    one, other = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (first, second))
    if one != other:
        raise SystemExit("overlapped and one after the other gave different files")


if __name__ == "__main__":
    main()
