"""`make fuzz`: many spoilt model folders and files beside them, and what came of them as a summary and as JSON.

Exit code 1 if one was neither refused in one clear line nor used rightly; its number makes it again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# Before NumPy and torch start.
os.environ["OMP_NUM_THREADS"] = "1"
# Small patients are made by a module of the tests; processes that are spawned take the path over.
sys.path.append(str(Path(__file__).resolve().parents[1]))

_AT_ONCE = 100
_SHOWN = 20
# What comes with `make fuzz`: folders of models, and files of settings and of runs.
MODELS, FILES = "models", "files"


@dataclass
class Tally:
    """What came of a series.

    Attributes:
        count: how many were made.
        outcomes: kind and exit code -> how often.
        slowest: seconds of the processor, series, number and kind.
        largest: bytes of memory, series, number and kind.
        faults: series, number, kind and what was wrong.
    """

    count: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str, int, str] = (0.0, "", 0, "")
    largest: tuple[int, str, int, str] = (0, "", 0, "")
    faults: list[tuple[str, int, str, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another series in."""
        self.count += other.count
        self.outcomes += other.outcomes
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)
        self.faults += other.faults

    def to_json(self) -> dict[str, Any]:
        """The figures, as they are published."""
        names = ("series", "number", "kind")
        return {
            "count": self.count,
            "outcomes": dict(sorted(self.outcomes.items())),
            "slowest": {"seconds": round(self.slowest[0], 3), **dict(zip(names, self.slowest[1:], strict=True))},
            "largest": {"mib": round(self.largest[0] / 2**20, 1), **dict(zip(names, self.largest[1:], strict=True))},
            "faults": [dict(zip((*names, "fault"), one, strict=True)) for one in self.faults],
        }


def series(what: str, numbers: range) -> Tally:
    """Make and judge the folders or files of these numbers; each is read in a child of this process."""
    import model_folders  # noqa: PLC0415 - torch
    import model_folders_judging as judging  # noqa: PLC0415
    import settings_files  # noqa: PLC0415
    from judging import Fault  # noqa: PLC0415

    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        settings_files.warm(root) if what == FILES else judging.known(root)
        for number in numbers:
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder)
                kind = settings_files.kind_of(number) if what == FILES else model_folders.kind_of(number)
                tally.count += 1
                try:
                    if what == FILES:
                        ended = settings_files.judge(number, root, work)
                    else:
                        ended = judging.judge(model_folders.make(number, root, work), root)
                except Fault as fault:
                    tally.faults.append((what, number, kind, str(fault)))
                    continue
                tally.outcomes[f"{what}, {kind}: {'exit ' + str(ended.code) if ended.code else 'used'}"] += 1
                tally.slowest = max(tally.slowest, (ended.seconds, what, number, kind))
                tally.largest = max(tally.largest, (ended.peak, what, number, kind))
    return tally


def _chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, _AT_ONCE):
        yield range(start, min(start + _AT_ONCE, first + count))


def main() -> int:
    """Run, show and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=3000, help="how many folders")
    parser.add_argument("--files", type=int, default=1500, help="how many files of settings and of runs")
    parser.add_argument("--first", type=int, default=0, help="number of the first of each")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="JSON to write")
    words = parser.parse_args()
    whole = Tally()
    asked = {MODELS: words.models, FILES: words.files}
    with ProcessPoolExecutor(words.workers, mp_context=get_context("spawn")) as pool:
        jobs = {
            pool.submit(series, what, numbers): (what, numbers)
            for what, count in asked.items()
            for numbers in _chunks(words.first, count)
        }
        for job in as_completed(jobs):
            try:
                whole.add(job.result())
            except Exception as error:
                what, numbers = jobs[job]
                whole.faults.append((what, numbers.start, "process", f"died within {numbers}: {error}"))
            if sys.stderr.isatty():
                print(f"\r{whole.count} of {sum(asked.values())}", end="", file=sys.stderr)
    figures = whole.to_json()
    if words.out is not None:
        words.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    _show(figures)
    return 1 if whole.faults else 0


def _show(figures: dict[str, Any]) -> None:
    print(f"{figures['count']} spoilt models and files")
    for outcome, count in figures["outcomes"].items():
        print(f"{count:8} {outcome}")
    slow, large = figures["slowest"], figures["largest"]
    print(f"slowest: {slow['seconds']} s, {slow['series']} {slow['number']}, {slow['kind']}")
    print(f"most memory: {large['mib']} MiB, {large['series']} {large['number']}, {large['kind']}")
    print(f"{len(figures['faults'])} faults")
    for fault in figures["faults"][:_SHOWN]:
        print(f"  {fault['series']} {fault['number']} {fault['kind']}: {fault['fault']}")


if __name__ == "__main__":
    raise SystemExit(main())
