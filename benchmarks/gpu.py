"""What training and prediction cost on a GPU: steps a second of every method, time busy, memory, seconds a patient.

python benchmarks/gpu.py                                          bf16, one 128^3 crop, widths 16 and 32
python benchmarks/gpu.py --patch 64 --batch 2 --widths 16 --rates h200.json       rates for estimate.py, at its crop
python benchmarks/gpu.py --device cpu --patch 32 --widths 8 --steps 2 --windows 2,1,1    only to see that it runs

It needs torch, Lightning, NumPy, safetensors and PyYAML, and of this package its source alone: set PYTHONPATH to src
where nothing can be installed. No patient and no file is read: crops and heads are noise, which costs the same.

On a GPU work is handed over and done later, so clocks are read only once all of it is done. The share of time busy is
that of the GPU's kernels in the time of the steps, by torch's profiler, in steps of their own; on a CPU it is the
processor time in that of all threads.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from steps import FLAIR, PLAIN, stepper
from torch.profiler import ProfilerActivity, profile
from turns import Row, by_turns, print_row, tell_ratios

from limbeck.data.augment import Augmentation, apply, draw
from limbeck.inference.sliding import sliding_window
from limbeck.methods import METHODS, build, find
from limbeck.methods.base import Context
from limbeck.methods.precision import Precision, pick_device, uses_bf16
from limbeck.training.trainer import TrainingSettings, fabric_for

OVERLAP = 0.5


@dataclass(frozen=True)
class Sizes:
    """How large the measurement is.

    Attributes:
        device: where.
        precision: bf16 or float32.
        width: of the networks.
        side: edge of a crop and of a window, in voxels.
        batch: crops a step.
        steps: in a turn.
        rounds: turns that count.
        windows: along each axis of a head, half overlapping.
        methods: names.
    """

    device: torch.device
    precision: Precision
    width: int
    side: int
    batch: int
    steps: int
    rounds: int
    windows: tuple[int, int, int]
    methods: tuple[str, ...]

    @property
    def patch(self) -> tuple[int, int, int]:
        """A crop or window."""
        return (self.side, self.side, self.side)

    @property
    def words(self) -> str:
        """What stands behind a row."""
        number = "bf16" if uses_bf16(self.precision, self.device) else "float32"
        return f"width {self.width}, {self.side}^3, {number}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("bf16", "float32"), default="bf16")
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--widths", default="16,32")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--steps", type=int, default=10, help="in a turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns that count")
    parser.add_argument(
        "--rates", type=Path, help="a file for the seconds of the last width, as estimate.py reads them"
    )
    parser.add_argument("--windows", default="2,2,2", help="along each axis of a head, half overlapping")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    tell_machine(device)
    depth, height, width = (int(count) for count in arguments.windows.split(","))
    for channels in (int(text) for text in arguments.widths.split(",")):
        sizes = Sizes(
            device,
            arguments.precision,
            channels,
            arguments.patch,
            arguments.batch,
            arguments.steps,
            arguments.rounds,
            (depth, height, width),
            tuple(arguments.methods.split(",")),
        )
        rates = measure(print_row, sizes)
    if arguments.rates is not None:
        arguments.rates.write_text(json.dumps(rates, indent=2) + "\n", encoding="utf-8")


def tell_machine(device: torch.device) -> None:
    """What the figures were measured on, and the table's head."""
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    print(f"{_name(device)}, {versions}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | value | how |")
    print("|---|--:|---|")


def _name(device: torch.device) -> str:
    if device.type != "cuda":
        return f"{platform.machine()}, {torch.get_num_threads()} threads"
    card = torch.cuda.get_device_properties(device)
    return f"{card.name}, {card.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"


def measure(row: Row, sizes: Sizes) -> dict[str, Any]:
    """All rows of one width; gives the seconds by the names of estimate.py, which needs import and scoring besides."""
    steps = _training(row, sizes)
    _augmentation(row, sizes)
    return {
        "device": f"{_name(sizes.device)}, {sizes.words}, {sizes.batch} a step",
        "source": f"python benchmarks/{Path(__file__).name} {' '.join(sys.argv[1:])}",
        "inference_seconds": _prediction(row, sizes),
        "step_seconds": steps,
    }


def _training(row: Row, sizes: Sizes) -> dict[str, float]:
    """Steps a second, memory and time busy of every method, on crops that lie on the device; gives seconds a step."""
    fabric = fabric_for(TrainingSettings(precision=sizes.precision, device=str(sizes.device)))
    steps: dict[str, Callable[[], None]] = {}
    peaks = {}
    for name in sizes.methods:
        held = _held(sizes.device)
        one = stepper(name, sizes.width, sizes.patch, sizes.batch, sizes.device)
        steps[name] = _repeated(lambda one=one: one(fabric), sizes)
        peaks[name] = _peak(steps[name], sizes.device, held)
    seconds = by_turns(steps, sizes.rounds)
    how = f"{sizes.words}, {sizes.batch} a step, median of {sizes.rounds} turns of {sizes.steps} steps"
    for name, values in seconds.items():
        row(f"{name}, steps a second", f"{sizes.steps / statistics.median(values):.2f}", how)
        row(f"{name}, time busy", f"{_busy(steps[name], sizes):.0%}", sizes.words)
        if peaks[name] is not None:
            row(f"{name}, peak memory", f"{peaks[name]:.2f} GiB", f"of the GPU, {sizes.words}, allocated by torch")
    if PLAIN in seconds:
        tell_ratios(row, seconds, PLAIN, f"a step, {sizes.words}")
    return {name: statistics.median(values) / sizes.steps for name, values in seconds.items()}


def _repeated(step: Callable[[], None], sizes: Sizes) -> Callable[[], None]:
    """A turn of steps, which ends when the device has done them all."""

    def turn() -> None:
        for _ in range(sizes.steps):
            step()
        _finish(sizes.device)

    return turn


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _held(device: torch.device) -> int:
    """Bytes that torch holds on a GPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def _peak(work: Callable[[], None], device: torch.device, held: int) -> float | None:
    """Most memory in GiB that some work needs on a GPU, beyond what was held for others; None on a CPU."""
    if device.type != "cuda":
        work()
        return None
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return (torch.cuda.max_memory_allocated(device) - held) / 2**30


def _busy(turn: Callable[[], None], sizes: Sizes) -> float:
    """The share of a turn in which the device works."""
    started, processor = time.perf_counter(), time.process_time()
    if sizes.device.type != "cuda":
        turn()
        return (time.process_time() - processor) / (time.perf_counter() - started) / torch.get_num_threads()
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        started = time.perf_counter()
        turn()
        seconds = time.perf_counter() - started
    # Everything runs in one stream, so kernels do not overlap.
    return float(sum(event.self_device_time_total for event in trace.key_averages())) / 1e6 / seconds


def _augmentation(row: Row, sizes: Sizes) -> None:
    """Seconds to augment a batch where it lies."""
    images = torch.randn(sizes.batch, 4, *sizes.patch, device=sizes.device)
    labels = torch.randint(0, 4, (sizes.batch, *sizes.patch), device=sizes.device)
    generator = torch.Generator().manual_seed(0)

    def turn() -> None:
        for _ in range(sizes.steps):
            apply(images, labels, draw(Augmentation(), sizes.batch, generator))
        _finish(sizes.device)

    (values,) = by_turns({"augmentation": turn}, sizes.rounds).values()
    how = f"{sizes.batch} {sizes.side}^3 crops of four sequences, on the device, mean of a turn, median"
    row("augmentation, seconds a batch", f"{statistics.median(values) / sizes.steps:.4f} s", how)


def _prediction(row: Row, sizes: Sizes) -> float:
    """Seconds and memory for the network over a head, from scores asked for to scores in memory; gives the seconds."""
    held = _held(sizes.device)
    shape = [sizes.side + (count - 1) * sizes.side // 2 for count in sizes.windows]
    head = torch.randn(4, *shape)
    available = torch.tensor(FLAIR.mask())
    torch.manual_seed(0)
    method = build(PLAIN, find(PLAIN).Settings(width=sizes.width), Context((FLAIR,))).eval().to(sizes.device)
    bf16 = uses_bf16(sizes.precision, sizes.device)

    def predict(view: Any) -> torch.Tensor:
        with torch.autocast(sizes.device.type, torch.bfloat16, enabled=bf16):
            return method.predict(view)

    @torch.inference_mode()
    def scores() -> None:
        sliding_window(predict, head.to(sizes.device), available.to(sizes.device), sizes.patch, OVERLAP).cpu()

    peak = _peak(scores, sizes.device, held)
    (values,) = by_turns({"prediction": scores}, sizes.rounds).values()
    size = "x".join(map(str, shape))
    how = f"network over {size} voxels of flair, {sizes.words} windows, overlap {OVERLAP:g}, median of {sizes.rounds}"
    row("prediction, seconds a patient", f"{statistics.median(values):.3f} s", how)
    if peak is not None:
        row("prediction, peak memory", f"{peak:.2f} GiB", f"of the GPU, {sizes.words}, allocated by torch")
    return statistics.median(values)


if __name__ == "__main__":
    main()
