"""Whether reading, cropping and augmenting hold up a training step: the real loader against one batch kept in memory.

python benchmarks/pipeline.py                                  two 64^3 crops of phantoms at 2 mm, width 16
python benchmarks/pipeline.py --cases 3 --patch 32 --width 8 --steps 2 --rounds 1      quick, to see that it runs

Both loaders feed the same step of the same method, by turns and in both orders. Share of waiting is (real - dummy) /
real, the median over the turns. Before anything is timed, the thread that reads ahead and a process that does are
checked to give the same batches to the bit. Processor time is of one thread, so it counts what the input costs and
does not care what else the machine does.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from steps import ready, take
from turns import Row, print_row

from limbeck.anatomy import Subset
from limbeck.batch import Batch
from limbeck.data.augment import Augmentation
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.dataset import CropReader, SamplingSettings, batches
from limbeck.data.importers import detect_layout
from limbeck.methods import find
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.training.trainer import TrainingSettings, fabric_for

# Method and what the student sees.
STEPS = (("supervised", "flair"), ("supervised", "all"), ("gkd", "flair"))
ENDLESS = 10**9


def measure(row: Row, cohort: Cohort, sampling: SamplingSettings, arguments: argparse.Namespace) -> None:
    """All rows."""
    device = fabric_for(TrainingSettings()).device
    crops = f"two {arguments.patch}^3 crops"
    for name, subset in STEPS:
        reader = _reader(cohort, sampling, name, subset)
        check(reader, device)
        ours, all_of_it = _processor_ms(arguments, name, subset)
        how = f"reading, cropping, augmenting; {crops}, one thread, mean of {4 * arguments.steps} steps"
        row(f"input of {name} {subset}, processor time", f"{ours:.1f} ms", how)
        how = "of input and step, one thread: what waiting would be if nothing were done side by side"
        row(f"share of processor time, {name} {subset}", f"{ours / all_of_it:.1%}", how)
        turns = _by_turns(name, subset, reader, arguments)
        real, dummy = (statistics.median(turn[place] for turn in turns) for place in range(2))
        shares = [(with_input - without) / with_input for with_input, without in turns]
        how = f"width {arguments.width}, {crops}, median of {len(turns)} turns of {arguments.steps} steps"
        row(f"step of {name} {subset}, real loader", f"{real:.3f} s", how)
        row(f"step of {name} {subset}, dummy loader", f"{dummy:.3f} s", how)
        spread = f"paired, {min(shares):.1%} to {max(shares):.1%} over the turns"
        row(f"share of waiting, {name} {subset}", f"{statistics.median(shares):.1%}", spread)


def check(reader: CropReader, device: torch.device) -> None:
    """Refuse to time loaders that do not agree."""
    process = CropReader(reader.cases, replace(reader.settings, workers=1), reader.subsets, reader.seed, True)
    process.modalities = reader.modalities
    pairs = zip(*(batches(each, 0, 3, device, Augmentation()) for each in (reader, process)), strict=True)
    for one, other in pairs:
        same = torch.equal(one.complete, other.complete) and torch.equal(one.labels, other.labels)
        if not same or one.case_ids != other.case_ids:
            raise SystemExit(f"crops {one.case_ids}: the thread and the process that read ahead differ: nothing timed")


def _reader(cohort: Cohort, sampling: SamplingSettings, name: str, subset: str) -> CropReader:
    return CropReader(list(cohort.cases), sampling, [Subset.parse(subset)], 0, find(name).privileged)


def _by_turns(name: str, subset: str, reader: CropReader, arguments: argparse.Namespace) -> list[tuple[float, float]]:
    """Seconds a step with the real loader and with the dummy, of each turn."""
    fabric = fabric_for(TrainingSettings())
    step = _stepper(name, subset, arguments.width, fabric)
    real = batches(reader, 0, ENDLESS, fabric.device, Augmentation())
    dummy = itertools.repeat(next(real))
    turns = []
    for turn in range(arguments.rounds + 1):
        seconds = {}
        for which in ("real", "dummy") if turn % 2 else ("dummy", "real"):
            seconds[which] = _seconds(step, real if which == "real" else dummy, arguments.steps)
        if turn:
            turns.append((seconds["real"], seconds["dummy"]))
    return turns


def _seconds(step: Callable[[Batch], None], loader: Iterator[Batch], steps: int) -> float:
    started = time.perf_counter()
    for batch in itertools.islice(loader, steps):
        step(batch)
    return (time.perf_counter() - started) / steps


def _stepper(name: str, subset: str, width: int, fabric: Any) -> Callable[[Batch], None]:
    method, optimisers = ready(name, width, Subset.parse(subset), fabric.device)
    return lambda batch: take(method, optimisers, fabric, batch)


def _processor_ms(arguments: argparse.Namespace, name: str, subset: str) -> list[float]:
    """Of a step's input, and of both; in a process with one thread, since two would also count their waiting."""
    words = ["--input", name, "--subset", subset, "--cohort", str(arguments.cohort)]
    words += ["--patch", str(arguments.patch), "--width", str(arguments.width), "--steps", str(arguments.steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, capture_output=True, text=True, env=environment
    )
    return [float(word) for word in done.stdout.split()]


def _input_alone(cohort: Cohort, sampling: SamplingSettings, arguments: argparse.Namespace) -> tuple[float, float]:
    """Milliseconds of processor time: of a step's input, and of it with the step."""
    fabric = fabric_for(TrainingSettings(device="cpu"))
    reader = _reader(cohort, sampling, arguments.input, arguments.subset)
    steps = 4 * arguments.steps
    loader = batches(reader, 0, ENDLESS, fabric.device, Augmentation())
    step, batch = _stepper(arguments.input, arguments.subset, arguments.width, fabric), next(loader)
    step(batch)
    started = time.process_time()
    for _ in itertools.islice(loader, steps):
        pass
    ours = (time.process_time() - started) / steps * 1000
    started = time.process_time()
    for _ in range(arguments.steps):
        step(batch)
    return ours, ours + (time.process_time() - started) / arguments.steps * 1000


def _phantoms(folder: Path, count: int) -> Path:
    """A cohort of phantoms at 2 mm."""
    write_phantoms(folder / "phantoms", count, spacing_mm=2.0, workers=1)
    importer, _ = detect_layout(folder / "phantoms")
    cases = importer.find(folder / "phantoms")
    options = {"scheme": "brats2018", "layout": importer.name, "source": folder / "phantoms"}
    import_cohort(cases, folder / "cohort", spacing_mm=2.0, workers=1, **options)  # type: ignore[arg-type]
    return folder / "cohort"


def main() -> None:
    """Measure and print; or print what one kind of input costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12, help="phantoms in the cohort [12]")
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10, help="steps of a turn [10]")
    parser.add_argument("--rounds", type=int, default=7, help="turns that are counted [7]")
    parser.add_argument("--cohort", type=Path, help="a cohort at hand, instead of phantoms")
    parser.add_argument("--input", choices=[name for name, _ in STEPS], help=argparse.SUPPRESS)
    parser.add_argument("--subset", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sampling = SamplingSettings((arguments.patch,) * 3)
    if arguments.input:
        print(*_input_alone(Cohort.open(arguments.cohort), sampling, arguments))
        return
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {threads} threads, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | value | how |\n|---|--:|---|")
    with tempfile.TemporaryDirectory() as folder:
        arguments.cohort = arguments.cohort or _phantoms(Path(folder), arguments.cases)
        measure(print_row, Cohort.open(arguments.cohort), sampling, arguments)


if __name__ == "__main__":
    main()
