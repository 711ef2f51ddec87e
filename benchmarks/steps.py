"""What a training step of each method costs beside a plain one: seconds by turns, memory in a process of its own.

make bench

python benchmarks/steps.py --one rirn --patch 128,192,160 --batch 1    one method alone, its peak memory
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from turns import Row

from limbeck.anatomy import Subset
from limbeck.batch import Batch, View
from limbeck.methods import METHODS, build, find
from limbeck.methods.base import Context, Method, Progress
from limbeck.methods.precision import uses_bf16
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for

FLAIR = Subset.parse("flair")
ALL = Subset.parse("all")
PLAIN = "supervised"
CPU = torch.device("cpu")
# Past the first epoch, in which MTCM-KD does not distil yet.
LATER = Progress(1, 2, 1, 2)
# The crop that GKD and RIRN publish, in z, y, x.
PUBLISHED_CROP = (128, 192, 160)


def measure(row: Row, width: int, side: int, rounds: int) -> None:
    """All rows about training steps."""
    patch = (side, side, side)
    seconds = _by_turns(width, patch, rounds)
    number = "bf16" if uses_bf16("auto", fabric_for(TrainingSettings()).device) else "float32"
    how = f"width {width}, two {side}^3 crops, {number}, median of {rounds}"
    for name, values in seconds.items():
        row(f"training step, {name}", f"{statistics.median(values):.3f} s", how)
        if name != PLAIN:
            ratios = [value / plain for value, plain in zip(values, seconds[PLAIN], strict=True)]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f} over the turns"
            row(f"ratio {name} / {PLAIN}", f"{statistics.median(ratios):.2f}", f"paired, {spread}")
    passes = _forward_seconds(width, patch, rounds)
    floor = 1 + statistics.median(passes) / statistics.median(seconds[PLAIN])
    row("forward pass of a teacher", f"{statistics.median(passes):.3f} s", f"a floor of {floor:.2f} for GKD's ratio")
    for name in METHODS:
        alone = _in_its_own_process(name, width, patch, 2)
        row(f"peak memory of {name}", f"{alone['peak_mib']:.0f} MiB", "resident, a process of its own, same crops")
    published = _in_its_own_process("rirn", 16, PUBLISHED_CROP, 1)
    crop = "one 160x192x128 crop, width 16: 7,680 positions in the relation"
    row("rirn at the published crop, a step", f"{published['seconds']:.1f} s", crop)
    row("rirn at the published crop, peak memory", f"{published['peak_mib'] / 1024:.1f} GiB", "resident, own process")


def _by_turns(width: int, patch: tuple[int, int, int], rounds: int) -> dict[str, list[float]]:
    """Seconds a step, for every method by turns, so that a machine whose speed drifts slows all alike."""
    fabric = fabric_for(TrainingSettings())
    steppers = {name: stepper(name, width, patch, 2) for name in METHODS}
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for turn in range(rounds + 2):
        # Both directions of order, since a step may profit from what the one before it left in the caches.
        for name in list(METHODS) if turn % 2 else list(METHODS)[::-1]:
            started = time.perf_counter()
            steppers[name](fabric)
            if turn >= 2:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _forward_seconds(width: int, patch: tuple[int, int, int], rounds: int) -> list[float]:
    """A frozen teacher's pass: what every distilled step pays on top of a plain one."""
    fabric = fabric_for(TrainingSettings())
    teacher = build(PLAIN, find(PLAIN).Settings(width=width), Context((ALL,))).eval()
    images = torch.randn(2, 4, *patch)
    seconds = []
    for turn in range(rounds + 2):
        started = time.perf_counter()
        with torch.no_grad(), fabric.autocast():
            teacher(images)
        if turn >= 2:
            seconds.append(time.perf_counter() - started)
    return seconds


def ready(name: str, width: int, subset: Subset, device: torch.device = CPU) -> tuple[Method[Any], Optimisers]:
    """An untrained method with untrained teachers, and what moves its weights; a generalist serves all subsets."""
    kind = find(name)
    teachers = {
        role: build(provider, find(provider).Settings(width=width), Context((ALL,)))
        for role, provider in kind.needs.items()
    }
    subsets = Subset.every() if kind.generalist else (subset,)
    method: Method[Any] = build(name, kind.Settings(width=width), Context(subsets, teachers=teachers)).to(device)
    return method, Optimisers(method, OptimiserSettings())


def take(method: Method[Any], optimisers: Optimisers, fabric: Any, batch: Batch, progress: Progress = LATER) -> None:
    """One training step as the loop takes it, which reads every term, and so waits for the device."""
    iterator = method.training_step(batch, progress)
    while True:
        with fabric.autocast():
            objectives = next(iterator, None)
        if objectives is None:
            return
        assert all(math.isfinite(float(term.detach())) for terms in objectives.values() for term in terms.values())
        optimisers.descend(fabric, objectives)


def stepper(
    name: str, width: int, patch: tuple[int, int, int], count: int, device: torch.device = CPU
) -> Callable[[Any], None]:
    """A function that takes one training step of a method on made-up crops, which lie on the device."""
    method, optimisers = ready(name, width, FLAIR, device)
    images = torch.randn(count, 4, *patch)
    labels = torch.randint(0, 4, (count, *patch))
    available = torch.tensor([FLAIR.mask()] * count)
    present = torch.ones(count, 4, dtype=torch.bool)
    batch = Batch(View.of(images, available), images, present, labels, tuple("ab"[:count])).to(device)

    def step(fabric: Any) -> None:
        method.train()
        take(method, optimisers, fabric, batch)

    return step


def _in_its_own_process(name: str, width: int, patch: tuple[int, int, int], count: int) -> dict[str, float]:
    """Seconds of a second step, and the most memory of the process that took the two."""
    sizes = ",".join(map(str, patch))
    words = ["--one", name, "--width", str(width), "--patch", sizes, "--batch", str(count)]
    done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Take two steps of one method; print the second's seconds and the peak memory as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", required=True, choices=list(METHODS))
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--patch", default="64,64,64")
    parser.add_argument("--batch", type=int, default=2)
    arguments = parser.parse_args()
    depth, height, width = (int(side) for side in arguments.patch.split(","))
    step = stepper(arguments.one, arguments.width, (depth, height, width), arguments.batch)
    fabric = fabric_for(TrainingSettings())
    step(fabric)
    started = time.perf_counter()
    step(fabric)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib()}))


def peak_mib() -> float:
    """Most resident memory of this process so far; what getrusage gives starts at the parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kibibytes) / 1024


if __name__ == "__main__":
    main()
