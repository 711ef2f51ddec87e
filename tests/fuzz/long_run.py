"""`make fuzz`: many mutated NIfTI files through every reader, and what came of them as a summary and as JSON.

Exit code 1 if one was neither refused in one clear line nor read rightly; its number makes it again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
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

_AT_ONCE = 100
_SHOWN = 20


@dataclass
class Tally:
    """What came of a series of files.

    Attributes:
        files: how many were made.
        outcomes: reader -> how many times it read, and refused.
        reasons: line of a refusal, numbers and names taken out -> how often.
        slowest: seconds of the processor, case, reader and kind.
        largest: bytes of memory, case, reader and kind.
        faults: number, reader, kind and what was wrong.
    """

    files: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int, str, str] = (0.0, 0, "", "")
    largest: tuple[int, int, str, str] = (0, 0, "", "")
    faults: list[tuple[int, str, str, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another series in."""
        self.files += other.files
        self.outcomes += other.outcomes
        self.reasons += other.reasons
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)
        self.faults += other.faults

    def to_json(self) -> dict[str, Any]:
        """The figures, as they are published."""
        seconds, *slow = self.slowest
        peak, *large = self.largest
        return {
            "files": self.files,
            "outcomes": dict(sorted(self.outcomes.items())),
            "reasons": dict(self.reasons.most_common()),
            "slowest": {"seconds": round(seconds, 3), **dict(zip(("number", "reader", "kind"), slow, strict=True))},
            "largest": {"mib": round(peak / 2**20, 1), **dict(zip(("number", "reader", "kind"), large, strict=True))},
            "faults": [dict(zip(("number", "reader", "kind", "fault"), one, strict=True)) for one in self.faults],
        }


def series(numbers: range) -> Tally:
    """Make and judge the files of these numbers, in this process."""
    from judging import READERS, Fault, judge  # noqa: PLC0415 - torch
    from nifti_files import make  # noqa: PLC0415

    tally = Tally()
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder:
            made = make(number, Path(folder))
            tally.files += 1
            for reader in READERS:
                try:
                    verdict = judge(made, reader)
                except Fault as fault:
                    tally.faults.append((number, reader, made.kind, str(fault)))
                    continue
                tally.outcomes[f"{reader}: {'refused' if verdict.refused else 'read'}"] += 1
                tally.reasons += Counter([_reason(verdict.refused)] if verdict.refused else [])
                tally.slowest = max(tally.slowest, (verdict.seconds, number, reader, made.kind))
                tally.largest = max(tally.largest, (verdict.peak, number, reader, made.kind))
    return tally


def _reason(line: str) -> str:
    """The part of a line that is the same for all of its kind."""
    what = line.removeprefix(":").strip().partition(": ")[0]
    return re.sub(r"-?\d[\d.]*(e[+-]?\d+)?|\bnan\b|-?\binf\b", "N", re.sub(r"\(.*\)", "", what)).partition(" N, ")[0]


def _chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, _AT_ONCE):
        yield range(start, min(start + _AT_ONCE, first + count))


def _capped() -> None:
    from judging import cap_memory  # noqa: PLC0415

    cap_memory()


def main() -> int:
    """Run, show and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="JSON to write")
    words = parser.parse_args()
    whole = Tally()
    pool = ProcessPoolExecutor(words.workers, mp_context=get_context("spawn"), initializer=_capped)
    with pool:
        jobs = {pool.submit(series, numbers): numbers for numbers in _chunks(words.first, words.files)}
        for job in as_completed(jobs):
            try:
                whole.add(job.result())
            except Exception as error:
                numbers = jobs[job]
                whole.faults.append((numbers.start, "process", "", f"died within {numbers}: {error}"))
            if sys.stderr.isatty():
                print(f"\r{whole.files} of {words.files}", end="", file=sys.stderr)
    figures = whole.to_json()
    if words.out is not None:
        words.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    _show(figures)
    return 1 if whole.faults else 0


def _show(figures: dict[str, Any]) -> None:
    print(f"{figures['files']} files")
    for outcome, count in figures["outcomes"].items():
        print(f"{count:8} {outcome}")
    for reason, count in list(figures["reasons"].items())[:_SHOWN]:
        print(f"{count:8} {reason}")
    slow, large = figures["slowest"], figures["largest"]
    print(f"slowest: {slow['seconds']} s, number {slow['number']}, {slow['reader']}, {slow['kind']}")
    print(f"most memory: {large['mib']} MiB, number {large['number']}, {large['reader']}, {large['kind']}")
    print(f"{len(figures['faults'])} faults")
    for fault in figures["faults"][:_SHOWN]:
        print(f"  {fault['number']} {fault['reader']} {fault['kind']}: {fault['fault']}")


if __name__ == "__main__":
    raise SystemExit(main())
