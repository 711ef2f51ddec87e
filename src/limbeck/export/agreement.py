"""Whether a file of ONNX gives what the method gives, in ONNX Runtime, on windows that it was not traced with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.anatomy import Modality, Subset
from limbeck.batch import View
from limbeck.errors import ModelError
from limbeck.export.graph import input_names
from limbeck.export.runtime import session
from limbeck.methods.base import Method
from limbeck.normalisation import Normalisation

# Of scores, which lie between 0 and 1.
TOLERANCE = 1e-4
# Raw intensities of MR are of this order; z-scores of the order of 1.
_RAW_DEVIATION = 300.0


@dataclass(frozen=True)
class Agreement:
    """What was compared.

    Attributes:
        largest_difference: of any score.
        shapes: of the images, `(B, D, H, W)` each.
    """

    largest_difference: float
    shapes: tuple[tuple[int, int, int, int], ...]


def compare(content: bytes, method: Method[Any], patch: tuple[int, int, int]) -> Agreement:
    """Scores of ONNX Runtime against the method's own in float32, on noise.

    Args:
        content: the file.
        method: what it was made of, on the CPU and in eval mode.
        patch: the window of prediction, the first to be compared; two smaller ones in batches follow.

    Raises:
        ModelError: a score differs by more than `TOLERANCE`, or is no number.
    """
    runtime = session(content)
    stride = method.settings.stride
    shapes = ((1, *patch), (2, stride, 2 * stride, 3 * stride), (3, 2 * stride, stride, stride))
    largest = 0.0
    for seed, shape in enumerate(shapes):
        view, fed = _inputs(method, shape, seed)
        with torch.inference_mode():
            expected = method.predict(view).numpy()
        (found,) = runtime.run(None, dict(zip(input_names(method), fed, strict=True)))
        difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("nan")
        if not difference <= TOLERANCE:
            raise ModelError(
                f"its ONNX file gives other scores than torch, by {difference:.1g} at {list(shape)}: "
                f"expected at most {TOLERANCE:g}; nothing is written"
            )
        largest = max(largest, difference)
    return Agreement(largest, shapes)


def _inputs(method: Method[Any], shape: tuple[int, ...], seed: int) -> tuple[View, list[NDArray[Any]]]:
    """What the method sees and what the graph is fed: noise in all sequences, half of each window background."""
    generator = torch.Generator().manual_seed(seed)
    batch, depth, height, width = shape
    images = torch.randn(batch, len(Modality), depth, height, width, generator=generator)
    images[..., width // 2 :] = 0
    if method.settings.normalisation == Normalisation.RAW:
        images = images.abs() * _RAW_DEVIATION
    subsets = list(_subsets(method, batch, seed))
    available = torch.tensor([subset.mask() for subset in subsets])
    view = View.of(images, available)
    if method.generalist:
        # With what is denied, which the graph has to deny itself.
        return view, [images.numpy(), available.numpy()]
    return view, [view.only(method.context.subset).numpy()]


def _subsets(method: Method[Any], batch: int, seed: int) -> Iterator[Subset]:
    served = method.context.subsets
    for index in range(batch):
        yield served[(7 * seed + 5 * index) % len(served)]
