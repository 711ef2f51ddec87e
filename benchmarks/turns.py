"""Several ways to the same result, timed by turns, so that a machine whose speed drifts slows all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Row = Callable[[str, str, str], None]


def by_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each of `rounds` turns, after a turn that only warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        # Both directions of order, since one may profit from what the one before it left in the caches.
        for name in list(ways) if turn % 2 else list(ways)[::-1]:
            started = time.perf_counter()
            ways[name]()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def tell_ratios(row: Row, seconds: Mapping[str, Sequence[float]], ours: str, what: str, remark: str = "") -> None:
    """A row for every other way: how many times as long it takes as ours, turn by turn; above 1, ours is quicker."""
    for name, values in seconds.items():
        if name != ours:
            ratios = [theirs / mine for theirs, mine in zip(values, seconds[ours], strict=True)]
            spread = f"paired, {min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} turns{remark}"
            row(f"ratio {name} / {ours}, {what}", f"{statistics.median(ratios):.2f}", spread)


def print_row(what: str, value: str, how: str) -> None:
    """One line of the table."""
    print(f"| {what} | {value} | {how} |", flush=True)
