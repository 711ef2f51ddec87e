"""How time and memory grow with the number of cases, from import to report: every command in a process of its own.

python benchmarks/scale.py                                            100, 300 and 1,000 cases of 6 mm; half an hour
python benchmarks/scale.py --cases 10,20 --made 4 --steps 4 --reported 10,20           quickly, to see that it runs

A few phantoms are made; every case of a data set is links to one of them. What grows is fitted as a power of the number
of cases, by processor time, which other work on the machine moves less than it moves the clock: linear is 1, and less
where a fixed cost such as starting Python weighs in. The aims: a power of at most 1.1, and a peak at most 1.2 times as
high for the most cases as for the fewest.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from growth import Cost, growth
from importing import multiply
from turns import print_row

from limbeck.anatomy import Region, Subset
from limbeck.evaluation import table
from limbeck.evaluation.table import Row as ResultRow
from limbeck.phantom.cohort import write as write_phantoms

# The command, which at its end says its peak memory. Nothing else is imported, so that nothing else is counted.
CODE = """
import sys
from pathlib import Path
from limbeck.cli import main
if code := main():
    sys.exit(code)
print(Path("/proc/self/status").read_text(), file=sys.stderr)
"""
LIMBECK = [sys.executable, "-c", CODE]
# Opening a cohort, drawing its folds and choosing the training cases: what a run does first, without starting Python.
OPENING = """
import json, sys, time
from limbeck.anatomy import Subset
from limbeck.data.cohort import Cohort
from limbeck.data.dataset import CropReader, SamplingSettings
from limbeck.data.splits import folds
started = time.process_time()
cohort = Cohort.open(sys.argv[1])
fold = folds(cohort)[0]
fold.record(cohort)
CropReader([cohort.case(name) for name in fold.train], SamplingSettings(), Subset.every(), 0, True)
print(json.dumps(time.process_time() - started))
"""
METHODS = ("supervised", "dropout", "gkd", "pkdr", "rirn")

Put = Callable[[str, str, str], None]


def measure(put: Put, folder: Path, counts: Sequence[int], spacing: float, made: int, steps: int) -> None:
    """All rows about the way from a data set to its report."""
    write_phantoms(folder / "made", made, spacing_mm=spacing, workers=1)
    costs: dict[str, dict[int, Cost]] = {}
    for count in counts:
        place = folder / str(count)
        multiply(folder / "made", place / "source", count)
        for stage, cost in _stages(put, place, count, spacing, steps).items():
            costs.setdefault(stage, {})[count] = cost
    for stage, by_count in costs.items():
        growth(put, stage, by_count)


def _stages(put: Put, place: Path, count: int, spacing: float, steps: int) -> dict[str, Cost]:
    """Every command on so many cases; what each took."""
    source, cohort, runs, scores = (str(place / name) for name in ("source", "cohort", "runs", "scores.csv"))
    alone = ["--workers", "1"]
    found = {
        "inspect": watched(["inspect", source, "--json", *alone]),
        "import": watched(["import", source, "--out", cohort, "--spacing", f"{spacing:g}", *alone]),
        "inspect of the cohort": watched(["inspect", cohort, "--json", *alone]),
    }
    opening = _opening(cohort)
    began = time.time()
    words = f"--steps {steps} --log-every {max(1, steps // 10)} --validate-every 0 --save-every 1000 --width 8"
    training = ["train", "dropout", "--data", cohort, "--out", runs, *words.split(), "--patch", "32,32,32"]
    found["train"] = watched([*training, "--device", "cpu"])
    (run,) = Path(runs).iterdir()
    found["evaluate"] = watched(["evaluate", str(run), "--data", cohort, "-o", scores])
    found["report"] = watched(["report", scores, "-o", str(place / "page.html")])
    for stage, cost in found.items():
        put(f"{stage}, {count:,} cases", f"{cost.seconds:.1f} s", _in_words(cost))
    start, step, rest = _parts(run, began)
    put(f"opening a cohort and its folds, {count:,} cases", f"{opening:.2f} s", "processor time of one core")
    put(f"training, a step, {count:,} cases", f"{step:.3f} s", f"{steps} steps, median of the log without its start")
    put(f"training, before the first step, {count:,} cases", f"{start:.1f} s", "start of Python and torch among it")
    put(f"training, after the last step, {count:,} cases", f"{rest:.1f} s", f"{_validated(run)} cases validated")
    return found


def watched(words: Sequence[str]) -> Cost:
    """Run a command of limbeck's to its end."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([*LIMBECK, *words], check=False, capture_output=True, text=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"limbeck {' '.join(words)} ended with {done.returncode}:\n{done.stderr[:2000]}")
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stderr)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, processor, int(kibibytes) / 1024)


def reports(put: Put, folder: Path, counts: Sequence[int]) -> None:
    """Rows about the page of many made-up results: five methods from 15 subsets, Dice and HD95."""
    folder.mkdir(parents=True, exist_ok=True)
    costs, sizes = {}, {}
    for count in counts:
        path, page = folder / f"{count}.csv", folder / f"{count}.html"
        rows = made_up(count)
        table.write(path, rows)
        costs[count] = watched(["report", str(path), "-o", str(page)])
        sizes[count] = page.stat().st_size / 1e6
        what = f"{len(METHODS)} methods, {len(Subset.every())} subsets, {count:,} cases, Dice and HD95"
        put(f"report of {len(rows):,} rows", f"{costs[count].seconds:.1f} s", f"{what}; {_in_words(costs[count])}")
        put(f"size of this page, {count:,} cases", f"{sizes[count]:.1f} MB", "HTML, nothing beside it")
    growth(put, "report of five methods", costs)


def made_up(cases: int) -> list[ResultRow]:
    """Results of a benchmark of so many cases, as five folds give them."""
    values = iter(np.random.default_rng(0).random(len(METHODS) * 15 * cases * 6).tolist())
    return [
        ResultRow(f"{method}-{subset}-f{case % 5}", method, case % 5, 0, f"case-{case}", subset, region, metric, value)
        for method in METHODS
        for subset in Subset.every()
        for case in range(cases)
        for region in Region
        for metric, value in (("dice", next(values)), ("hd95_mm", 40 * next(values)))
    ]


def _opening(cohort: str) -> float:
    """Seconds of a processor; the second time, once the folds are stored and the files' names are in memory."""
    seconds = 0.0
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", OPENING, cohort], check=True, capture_output=True, text=True)
        seconds = json.loads(done.stdout)
    return seconds


def _parts(run: Path, began: float) -> tuple[float, float, float]:
    """Seconds before the first step, of a step, and after the last."""
    with (run / "log.csv").open(encoding="utf-8", newline="") as stream:
        lines = [(int(row["step"]), float(row["value"])) for row in csv.DictReader(stream) if row["name"] == "seconds"]
    ends = [0, *(step for step, _ in lines)]
    stepping = math.fsum((end - start) * value for (start, end), (_, value) in zip(pairwise(ends), lines, strict=True))
    ready, done = ((run / name).stat().st_mtime for name in ("experiment.yaml", "DONE"))
    usual = [value for _, value in lines[1:]] or [value for _, value in lines]
    return ready - began, statistics.median(usual), max(done - ready - stepping, 0.0)


def _validated(run: Path) -> int:
    return len(json.loads((run / "fold.json").read_text(encoding="utf-8"))["validation"])


def _in_words(cost: Cost) -> str:
    return f"the whole command; {cost.processor:.1f} s of processors, peak {cost.peak_mib:.0f} MiB"


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")] if text else []


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=_numbers, default="100,300,1000", help="numbers of cases; nothing for none")
    parser.add_argument("--reported", type=_numbers, default="100,300,1000", help="cases of the made-up results")
    parser.add_argument("--made", type=int, default=20, help="phantoms that are made; the other cases are links")
    parser.add_argument("--spacing", type=float, default=6.0, help="of phantoms and cohorts, in mm")
    parser.add_argument("--steps", type=int, default=100, help="of training")
    parser.add_argument("--folder", type=Path, help="where to put the files meanwhile (default: the system's place)")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {time.strftime('%Y-%m-%d')}\n\n| what | value | how |\n|---|--:|---|")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.cases:
            measure(print_row, Path(folder), arguments.cases, arguments.spacing, arguments.made, arguments.steps)
        if arguments.reported:
            reports(print_row, Path(folder) / "reports", arguments.reported)


if __name__ == "__main__":
    main()
