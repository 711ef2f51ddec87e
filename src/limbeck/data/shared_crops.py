"""Crops that several runs in lockstep read once, each seeing its own sequences of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from limbeck.anatomy import Subset
from limbeck.batch import Batch


class SharedCrops:
    """One reader's batches for several students that all may look at complete cases.

    Such students meet the same crops whatever their subsets are: cases have every sequence, and the draws are keyed by
    seed and step. The batch of one step is kept, until somebody asks for the next.
    """

    def __init__(self, batches: Callable[[int], Iterator[Batch]], steps: int) -> None:
        """Share batches.

        Args:
            batches: batches from a step on, as the reader gives them.
            steps: steps in all.
        """
        self._batches, self._steps = batches, steps
        self._reading: Iterator[Batch] | None = None
        self._at = -1
        self._batch: Batch | None = None

    def seen_as(self, subset: Subset) -> Callable[[int], Iterator[Batch]]:
        """The same batches from a step on, as a student for a subset sees them."""

        def batches(start: int) -> Iterator[Batch]:
            return (self._of(step).seen_as(subset) for step in range(start, self._steps))

        return batches

    def _of(self, step: int) -> Batch:
        """The batch of a step: the one at hand or the next, as long as all ask in lockstep."""
        if self._batch is None or step != self._at:
            if self._reading is None or step != self._at + 1:
                self._reading = self._batches(step)
            self._batch = None
            self._batch, self._at = next(self._reading), step
        return self._batch
