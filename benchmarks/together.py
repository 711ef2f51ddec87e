"""What students of several subsets cost together, from one reading and one pass of the teacher, beside apart.

    python benchmarks/together.py                                                # all 15, 64^3 crops, width 16
    python benchmarks/together.py --count 3 --rounds 3 --patch 32 --width 8      # a quick look

Apart is N runs that each read, augment and ask their own copy of the teacher; together is the same N in lockstep. A
round takes one step of each, both ways by turns, first the one and then the other; its two times give a ratio, and the
median of these is printed. At the end the weights of both ways are compared bit by bit. Steps are real ones: reader of
imported phantoms, augmentation, optimiser and log, all but validation and checkpoints, which are the same both ways.
Peak memory is measured in a process of its own for each size of the group.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from steps import peak_mib
from turns import print_row

from limbeck.anatomy import Subset
from limbeck.commands.settings import Settings
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.importers import detect_layout
from limbeck.experiment import _members, plan, prepare, run
from limbeck.methods import find
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.training.trainer import _Loop, fabric_for

METHODS = ("gkd", "pkdr")
# Steps that warm up what only the first ones pay for.
WARM = 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=15, help="how many of the 15 subsets")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that are counted")
    parser.add_argument("--groups", default="1,5,15", help="group sizes in the rows of memory")
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--spacing", type=float, default=2.0, help="of the phantoms, in mm")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        method, folder = arguments.one
        for loop in _loops(method, Path(folder), arguments, [Subset.every()[: arguments.count]]):
            loop.advance()
        print(json.dumps({"peak_mib": peak_mib()}))
        return
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {time.strftime('%F')}\n"
    )
    print("| what | value | how |\n|---|--:|---|")
    with tempfile.TemporaryDirectory() as folder:
        _prepare(Path(folder), arguments)
        for method in METHODS:
            _cost(method, Path(folder), arguments)
            _memory(method, Path(folder), arguments)


def _prepare(folder: Path, arguments: argparse.Namespace) -> None:
    """A cohort, and a teacher of one step for each method: what it knows costs nothing."""
    write_phantoms(folder / "phantoms", 6, spacing_mm=arguments.spacing, workers=1)
    importer, _ = detect_layout(folder / "phantoms")
    cases = importer.find(folder / "phantoms")
    places = {"scheme": "brats2018", "layout": "brats", "source": folder / "phantoms"}
    import_cohort(cases, folder / "cohort", spacing_mm=arguments.spacing, workers=1, **places)
    for method in METHODS:
        (provider,) = find(method).needs.values()
        _, parts = Settings(provider).parse([*_words(arguments), "--steps", "1"])
        taught = run(plan(provider, "all", None, parts), Cohort.open(folder / "cohort"), folder / "taught")
        taught.rename(folder / provider)


def _words(arguments: argparse.Namespace) -> list[str]:
    side = arguments.patch
    return ["--width", str(arguments.width), "--patch", f"{side},{side},{side}", "--folds", "3"]


def _loops(method: str, folder: Path, arguments: argparse.Namespace, groups: list[tuple[Subset, ...]]) -> list[_Loop]:
    """The runs of all groups, each group with a reader and a teacher of its own; nothing is written but their logs."""
    (provider,) = find(method).needs.values()
    _, parts = Settings(method).parse([*_words(arguments), "--steps", "1000", "--log-every", "1000"])
    cohort = Cohort.open(folder / "cohort")
    loops = []
    for group in groups:
        experiments = [plan(method, str(subset), folder / provider, parts) for subset in group]
        first = prepare(experiments[0], cohort)
        out = Path(tempfile.mkdtemp(dir=folder))
        runs = {out / str(asked.subset_name): first.with_subset(asked) for asked in experiments}
        fabric = fabric_for(parts["training"])
        readers = {place: ready.reader() for place, ready in runs.items()}
        for place, member in _members(runs, readers, fabric.device, lambda *_: None).items():
            place.mkdir()
            loops.append(_Loop(member, parts["training"], parts["optimiser"], fabric))
    return loops


def _cost(method: str, folder: Path, arguments: argparse.Namespace) -> None:
    subsets = Subset.every()[: arguments.count]
    together = _loops(method, folder, arguments, [subsets])
    apart = _loops(method, folder, arguments, [(subset,) for subset in subsets])
    seconds: dict[str, list[float]] = {"together": [], "apart": []}
    for turn in range(WARM + arguments.rounds):
        ways = [("together", together), ("apart", apart)]
        for name, loops in ways if turn % 2 else ways[::-1]:
            started = time.perf_counter()
            for loop in loops:
                loop.advance()
            if turn >= WARM:
                seconds[name].append(time.perf_counter() - started)
    ratios = [one / other for one, other in zip(seconds["together"], seconds["apart"], strict=True)]
    how = f"width {arguments.width}, two {arguments.patch}^3 crops, median of {arguments.rounds}"
    for name, values in seconds.items():
        row = f"{method}, a step of {len(subsets)} students {name}"
        print_row(row, f"{statistics.median(values):.2f} s", how)
    spread = f"paired, {min(ratios):.2f} to {max(ratios):.2f} over the rounds"
    print_row(f"{method}, together / apart", f"{statistics.median(ratios):.2f}", spread)
    same = all(
        torch.equal(value, two.method.state_dict()[name])
        for one, two in zip(together, apart, strict=True)
        for name, value in one.method.state_dict().items()
    )
    steps = WARM + arguments.rounds
    print_row(f"{method}, weights of both ways", "equal" if same else "DIFFERENT", f"bit by bit, after {steps} steps")


def _memory(method: str, folder: Path, arguments: argparse.Namespace) -> None:
    for size in (int(size) for size in arguments.groups.split(",")):
        sizes = ["--count", str(size), "--patch", str(arguments.patch), "--width", str(arguments.width)]
        command = [sys.executable, __file__, "--one", method, str(folder), *sizes]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peak = json.loads(done.stdout.splitlines()[-1])["peak_mib"]
        how = "resident, a process of its own, a step"
        print_row(f"{method}, peak memory with --group {size}", f"{peak:.0f} MiB", how)


if __name__ == "__main__":
    main()
