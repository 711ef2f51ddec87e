"""How costs grow with the number of cases: a power of it, by least squares over logarithms, and the aims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

STEEPEST, HIGHEST = 1.1, 1.2

Put = Callable[[str, str, str], None]


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        seconds: by the clock.
        processor: seconds of all processors.
        peak_mib: most resident memory.
    """

    seconds: float
    processor: float
    peak_mib: float


def power(counts: Sequence[int], costs: Sequence[float]) -> float:
    """The exponent p of the best fit of cost = a * count^p, by least squares over logarithms."""
    slope, _ = np.polyfit(np.log(counts), np.log(costs), 1)
    return float(slope)


def further(counts: Sequence[int], costs: Sequence[float]) -> list[float]:
    """What a further case costs between each two counts; a fixed cost is not in it."""
    pairs = list(zip(counts, costs, strict=True))
    return [(more - less) / (many - few) for (few, less), (many, more) in pairwise(pairs)]


def growth(put: Put, stage: str, costs: Mapping[int, Cost]) -> None:
    """A row on how the cost of a stage grows, if there are several counts."""
    counts = sorted(costs)
    if len(counts) < 2:
        return
    fewest, most = costs[counts[0]], costs[counts[-1]]
    spent = [costs[count].processor for count in counts]
    exponent, peak = power(counts, spent), most.peak_mib / fewest.peak_mib
    each = ", ".join(f"{1000 * seconds:.1f}" for seconds in further(counts, spent))
    kept = "as aimed at" if exponent <= STEEPEST and peak <= HIGHEST else "NOT as aimed at"
    between = " to ".join(f"{count:,}" for count in counts)
    how = f"of processor time, {between} cases; a further case costs {each} ms; peak memory x{peak:.2f}; {kept}"
    put(f"{stage}, power of the number of cases", f"{exponent:.2f}", how)
