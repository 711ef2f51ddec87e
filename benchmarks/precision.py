"""What number format, memory layout, compilation and freed memory change about a step: each beside the default.

python benchmarks/precision.py                                       width 16, two 64^3 crops
python benchmarks/precision.py --compile                             with torch.compile too: some minutes more
python benchmarks/precision.py --patch 32 --width 8 --rounds 1       quick, to see that it runs

Ways are taken by turns and in both orders, and only after their outputs were found to agree. A ratio above 1 is slower
than the first way of its group. Seconds are of the clock; ratios are given of the clock and of processor time, which
cares less for what else the machine does. Memory is compared between two processes, since it belongs to a process.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from steps import peak_mib, stepper
from torch import Tensor, nn

from limbeck.heap import keep_freed_memory
from limbeck.losses import cross_entropy_dice
from limbeck.networks.unet import UNet
from limbeck.training.trainer import TrainingSettings, fabric_for

Way = Callable[[], Tensor]
Timed = tuple[float, float]
# Of logits about as large as 1: three digits of bfloat16, after some twenty layers.
TOLERANCE = 0.1


def main() -> None:
    """Measure and print; or take steps of one method and print what they cost as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7, help="turns that are counted [7]")
    parser.add_argument("--compile", action="store_true", help="compile too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--give-back", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_steps(arguments)))
        return
    keep_freed_memory()
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {threads} threads, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | value | how |\n|---|--:|---|")
    how = f"width {arguments.width}, two {arguments.patch}^3 crops, median of {arguments.rounds}"
    compare("plain step", training(arguments), arguments.rounds, how)
    compare("teacher's pass", teachers(arguments), arguments.rounds, how)
    memory(arguments)


def compare(title: str, ways: Mapping[str, Way], rounds: int, how: str) -> None:
    """Rows of a group of ways to the same result."""
    names = list(ways)
    expected = ways[names[0]]().float()
    for name in names:
        difference = float((ways[name]().float() - expected).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise SystemExit(f"{title}, {name}: differs by {difference:g}: nothing timed")
    seconds: dict[str, list[Timed]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names if turn % 2 else names[::-1]:
            seconds[name].append(_timed(ways[name]))
    for name in names:
        clock, processor = (
            statistics.median(
                way[kind] / first[kind] for way, first in zip(seconds[name], seconds[names[0]], strict=True)
            )
            for kind in range(2)
        )
        value = statistics.median(way[0] for way in seconds[name])
        ratios = f"ratio {clock:.2f} by the clock, {processor:.2f} of processor time"
        print(f"| {title}, {name} | {value:.3f} s | {how}; {ratios} |", flush=True)


def _timed(way: Way) -> Timed:
    clock, processor = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - clock, time.process_time() - processor


def _network(sequences: int, width: int, last: bool) -> UNet:
    torch.manual_seed(0)
    network = UNet(sequences, 4, width)
    network.channels_last = last
    return network


def _bf16(wanted: bool = True) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if wanted else nullcontext()


def training(arguments: argparse.Namespace) -> dict[str, Way]:
    """Forward, loss and gradients of one sequence; gives the logits."""
    images = torch.randn(2, 1, *(arguments.patch,) * 3)
    labels = torch.randint(0, 4, (2, *(arguments.patch,) * 3))

    def step(network: nn.Module, bf16: bool) -> Tensor:
        with _bf16(bf16):
            output = network(images)
            loss = cross_entropy_dice(output.logits, labels)
        network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        logits: Tensor = output.logits.detach()
        return logits

    plain, last = (_network(1, arguments.width, last) for last in (False, True))
    ways: dict[str, Way] = {
        "bf16, contiguous": lambda: step(plain, True),
        "bf16, channels_last_3d": lambda: step(last, True),
        "float32, contiguous": lambda: step(plain, False),
        "float32, channels_last_3d": lambda: step(last, False),
    }
    if arguments.compile:
        built = _network(1, arguments.width, False)
        built.compile(dynamic=False)
        ways["bf16, contiguous, compiled"] = lambda: step(built, True)
    return ways


def teachers(arguments: argparse.Namespace) -> dict[str, Way]:
    """A frozen network's pass over four sequences; gives the logits."""
    images = torch.randn(2, 4, *(arguments.patch,) * 3)
    teacher = _network(4, arguments.width, False).eval().requires_grad_(False)
    cast = copy.deepcopy(teacher)
    for module in cast.modules():
        if isinstance(module, nn.Conv3d):
            module.to(torch.bfloat16)
    whole = copy.deepcopy(teacher).to(torch.bfloat16)

    def ask(network: nn.Module, guard: Any = torch.no_grad, bf16: bool = True, given: Tensor = images) -> Tensor:
        with guard(), _bf16(bf16):
            logits: Tensor = network(given).logits
        return logits

    ways: dict[str, Way] = {
        "no_grad, bf16 autocast": lambda: ask(teacher),
        "inference_mode, bf16 autocast": lambda: ask(teacher, torch.inference_mode),
        "weights of convolutions kept in bf16": lambda: ask(cast),
        "all in bf16, no autocast": lambda: ask(whole, bf16=False, given=images.bfloat16()),
        "float32": lambda: ask(teacher, bf16=False),
    }
    if arguments.compile:
        built = copy.deepcopy(teacher)
        built.compile(dynamic=False)
        ways["compiled"] = lambda: ask(built)
    return ways


def memory(arguments: argparse.Namespace) -> None:
    """Rows of steps whose freed memory stays, and of those that give it back; processes by turns."""
    for name in ("supervised", "gkd"):
        found: dict[bool, list[dict[str, float]]] = {True: [], False: []}
        for turn in range(min(arguments.rounds, 5)):
            for back in (True, False) if turn % 2 else (False, True):
                found[back].append(_in_its_own_process(arguments, name, back))
        for back, way in ((False, "kept"), (True, "given back to the system")):
            middle = {kind: statistics.median(each[kind] for each in found[back]) for kind in found[back][0]}
            how = (
                f"processor time {middle['processor']:.3f} s, of it {middle['system']:.3f} s in the kernel, "
                f"{middle['faults']:,.0f} page faults a step, peak {middle['peak_mib']:.0f} MiB"
            )
            print(f"| step of {name}, freed memory {way} | {middle['clock']:.3f} s | {how} |", flush=True)


def _in_its_own_process(arguments: argparse.Namespace, name: str, back: bool) -> dict[str, float]:
    words = ["--one", name, "--width", str(arguments.width), "--patch", str(arguments.patch)]
    words += ["--rounds", str(arguments.rounds)] + ["--give-back"] * back
    done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def _steps(arguments: argparse.Namespace) -> dict[str, float]:
    """A step's seconds, page faults and the process's peak memory, after two steps that are not counted."""
    if arguments.give_back:
        from limbeck.training import trainer  # noqa: PLC0415

        trainer.keep_freed_memory = lambda: False
    fabric = fabric_for(TrainingSettings())
    step = stepper(arguments.one, arguments.width, (arguments.patch,) * 3, 2)
    for _ in range(2):
        step(fabric)
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(arguments.rounds):
        step(fabric)
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    system = after.ru_stime - before.ru_stime
    spent = {
        "clock": clock,
        "processor": after.ru_utime - before.ru_utime + system,
        "system": system,
        "faults": after.ru_minflt - before.ru_minflt,
    }
    return {name: value / arguments.rounds for name, value in spent.items()} | {"peak_mib": peak_mib()}


if __name__ == "__main__":
    main()
