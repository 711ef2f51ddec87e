"""Work on many cases at once: one process a core, a few cases under way, results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from limbeck.errors import ResourceError
from limbeck.threads import processors
from limbeck.workers import Workers

Item = TypeVar("Item")
Result = TypeVar("Result")
# Below this the processes take longer to start than to work.
_ITEMS_FOR_A_POOL = 8
# Items handed out for each process, so that none waits for the next.
_AHEAD = 2


def each(work: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None) -> Iterator[Result]:
    """Results in the order in which they are finished. What is in memory does not grow with the number of items.

    Args:
        work: a function that can be sent to another process by its name.
        items: what it is called with, one at a time.
        workers: processes; None: one a processor where there are 8 items or more, else none but this one.

    Raises:
        ResourceError: a process was killed.
    """
    if workers is None:
        workers = processors() if len(items) >= _ITEMS_FOR_A_POOL else 1
    if workers <= 1:
        yield from map(work, items)
        return
    waiting = iter(items)
    try:
        with Workers(min(workers, len(items))) as pool:
            under_way = {pool.submit(work, item) for item in islice(waiting, _AHEAD * workers)}
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                under_way |= {pool.submit(work, item) for item in islice(waiting, len(done))}
                yield from (future.result() for future in done)
    except BrokenProcessPool as error:
        raise ResourceError("a worker was killed, most likely out of memory: use fewer workers") from error
