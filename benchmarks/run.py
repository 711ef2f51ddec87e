"""What training, import and prediction cost here: one table, each figure with what it stands for.

    make bench

A training step is timed by turns with its yardstick, so that a machine whose speed drifts slows both alike. Medians
are given. Prediction runs in a process of its own, from file to file, so that start-up and peak memory count.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from limbeck.anatomy import Subset
from limbeck.batch import Batch, View
from limbeck.data.cohort import import_cohort
from limbeck.data.importers import detect_layout
from limbeck.inference.predictor import load
from limbeck.methods import METHODS, build, find
from limbeck.methods.base import Context, Method, Progress
from limbeck.methods.precision import uses_bf16
from limbeck.methods.saved import Card, save
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.target import Target
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for

FLAIR = Subset.parse("flair")
ALL = Subset.parse("all")
LIMBECK = [sys.executable, "-c", "import sys; from limbeck.cli import main; sys.exit(main())"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9, help="steps of each method that are counted")
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {threads} threads, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | value | how |")
    print("|---|--:|---|")
    _steps(arguments)
    with tempfile.TemporaryDirectory() as folder:
        scan = _import_seconds(Path(folder))
        for spacing, side in ((2.0, 64), (1.0, 96)):
            _prediction(Path(folder), arguments.width, spacing, side, scan)


def _row(what: str, value: str, how: str) -> None:
    print(f"| {what} | {value} | {how} |", flush=True)


def _steps(arguments: argparse.Namespace) -> None:
    """Seconds a training step, for every method by turns."""
    fabric = fabric_for(TrainingSettings())
    steppers = {name: _stepper(name, arguments.width, arguments.patch) for name in METHODS}
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for turn in range(arguments.rounds + 2):
        # Both directions of order, since a step may profit from what the one before it left in the caches.
        for name in list(METHODS) if turn % 2 else list(METHODS)[::-1]:
            started = time.perf_counter()
            steppers[name](fabric)
            if turn >= 2:
                seconds[name].append(time.perf_counter() - started)
    number = "bf16" if uses_bf16("auto", fabric.device) else "float32"
    how = f"width {arguments.width}, two {arguments.patch}^3 crops, {number}, median of {arguments.rounds}"
    for name, values in seconds.items():
        ratios = [value / plain for value, plain in zip(values, seconds["supervised"], strict=True)]
        _row(f"training step, {name}", f"{statistics.median(values):.3f} s", how)
        if name != "supervised":
            spread = f"{min(ratios):.2f} to {max(ratios):.2f} over the turns"
            _row(f"ratio {name} / supervised", f"{statistics.median(ratios):.2f}", f"paired, {spread}")
    passes = _forward_seconds(fabric, arguments.width, arguments.patch, arguments.rounds)
    floor = 1 + statistics.median(passes) / statistics.median(seconds["supervised"])
    _row(
        "forward pass of a teacher", f"{statistics.median(passes):.3f} s", f"a floor of {floor:.2f} for the ratio above"
    )


def _forward_seconds(fabric: Any, width: int, side: int, rounds: int) -> list[float]:
    """A frozen teacher's pass: what every distilled step pays on top of a plain one."""
    teacher = build("supervised", find("supervised").Settings(width=width), Context((ALL,))).eval()
    images = torch.randn(2, 4, side, side, side)
    seconds = []
    for turn in range(rounds + 2):
        started = time.perf_counter()
        with torch.no_grad(), fabric.autocast():
            teacher(images)
        if turn >= 2:
            seconds.append(time.perf_counter() - started)
    return seconds


def _stepper(name: str, width: int, side: int) -> Callable[[Any], None]:
    kind = find(name)
    teachers = {
        role: build(provider, find(provider).Settings(width=width), Context((ALL,)))
        for role, provider in kind.needs.items()
    }
    subsets = Subset.every() if kind.generalist else (FLAIR,)
    method: Method[Any] = build(name, kind.Settings(width=width), Context(subsets, teachers=teachers))
    optimisers = Optimisers(method, OptimiserSettings())
    images = torch.randn(2, 4, side, side, side)
    labels = torch.randint(0, 4, (2, side, side, side))
    available = torch.tensor([FLAIR.mask()] * 2)
    batch = Batch(View.of(images, available), images, torch.ones(2, 4, dtype=torch.bool), labels, ("a", "b"))

    def step(fabric: Any) -> None:
        method.train()
        iterator = method.training_step(batch, Progress(0, 1, 0, 1))
        while True:
            with fabric.autocast():
                objectives = next(iterator, None)
            if objectives is None:
                return
            optimisers.descend(fabric, objectives)

    return step


def _import_seconds(folder: Path) -> Path:
    """Import real-size phantoms on one core; gives the FLAIR scan of one."""
    started = time.perf_counter()
    write_phantoms(folder / "phantoms", 2, spacing_mm=1.0, workers=1)
    _row("phantom, 240x240x155", f"{(time.perf_counter() - started) / 2:.1f} s", "a case, one core, written to files")
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
        _row(
            f"import, to {spacing:g} mm",
            f"{seconds:.2f} s",
            "a 240x240x155 case with four sequences and labels, one core",
        )
    return next((folder / "phantoms").glob("*/*_flair.nii.gz"))


def _prediction(folder: Path, width: int, spacing: float, side: int, scan: Path) -> None:
    torch.manual_seed(0)
    kind = find("supervised")
    model = folder / f"model-{spacing:g}"
    method = build("supervised", kind.Settings(width=width), Context((FLAIR,)))
    card = Card("supervised", {"width": width, "dropout": 0.0}, (FLAIR,), Target.SOFTMAX_LABELS, spacing, (side,) * 3)
    save(model, method, card)
    out = folder / f"mask-{spacing:g}.nii.gz"
    command = [*LIMBECK, "predict", str(model), "--flair", str(scan), "-o", str(out), "--overwrite"]
    runs = [_watched(command) for _ in range(3)]
    wall, peak = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
    network = _network_seconds(model, scan)
    how = f"240x240x155 FLAIR, width {width}, {side}^3 windows, from file to file, the whole command, median of 3"
    _row(f"predict at {spacing:g} mm", f"{wall:.1f} s", how)
    _row("of this outside the network", f"{1 - network / wall:.0%}", f"the network alone takes {network:.1f} s")
    _row("peak memory", f"{peak:.0f} MiB", "resident, the whole process, most of 3")


def _watched(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident MiB of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} left with {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


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
    predictor.segment({"flair": scan})
    return total


if __name__ == "__main__":
    main()
