"""Test-time flips: a patient and its mirror images are predicted, and the scores averaged where they belong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

from torch import Tensor

_AXES = (1, 2, 3)


def flipped_mean(score: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The mean of the scores of all eight flips of a volume along its axes, `[C,D,H,W]`.

    Training flips along all three axes too, so that none of the eight is strange to a network. What is zero stays zero
    wherever it is flipped to: absent sequences leave no trace here either.

    Args:
        score: scores `[C,D,H,W]` of a volume.
        images: `[4,D,H,W]` in model space.
    """
    total: Tensor | None = None
    # In a fixed order, since a sum in another one may differ in its last bit.
    for axes in _flips():
        turned = score(images.flip(axes)).flip(axes) if axes else score(images)
        total = turned if total is None else total.add_(turned)
    assert total is not None, "there are eight flips"
    return total.div_(8)


def _flips() -> Iterator[tuple[int, ...]]:
    for count in range(len(_AXES) + 1):
        yield from combinations(_AXES, count)
