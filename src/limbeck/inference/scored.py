"""Scores of a block of model space, and what they are on the scan's own grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.anatomy import Label
from limbeck.data.geometry import Box, Geometry
from limbeck.data.resample import Stretch
from limbeck.target import Target

Place: TypeAlias = "tuple[int | slice, slice, slice]"


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores that stand for a whole scan: outside of the block all is background.

    Attributes:
        inside: `[C,d,h,w]` float32 in [0, 1], on the CPU.
        box: the block of model space where they lie.
        geometry: the way to the scan's grid.
        target: what C means.
    """

    inside: Tensor
    box: Box
    geometry: Geometry
    target: Target

    @torch.inference_mode()
    def labels(self) -> NDArray[np.uint8]:
        """The label map `[X,Y,Z]` on the scan's own grid: what `scores` decode to, voxel for voxel."""
        labels = np.full(self.geometry.oriented_shape, Label.BACKGROUND, np.uint8)
        for place, plane in self._planes():
            labels[place] = self.target.decode(plane[None])[0].numpy()
        return self.geometry.labels_to_native(labels)

    @torch.inference_mode()
    def scores(self) -> Tensor:
        """The scores `[C,X,Y,Z]` on the scan's own grid, trilinear where its voxels are not the model's."""
        outside = background(self.target)[:, None, None, None]
        whole = outside.repeat(1, *self.geometry.oriented_shape)
        for place, plane in self._planes():
            whole[(slice(None), *place)] = plane
        return self.geometry.to_native_scores(whole)

    def _planes(self) -> Iterator[tuple[Place, Tensor]]:
        """Scores `[C,h,w]` at the scan's spacing, plane by plane, and where each lies: all that is not background.

        If voxels are the model's, the block is handed out as one, `[C,d,h,w]`.
        """
        if not self.geometry.resamples:
            yield self.box.slices, self.inside
            return
        old, new = self.geometry.shape, self.geometry.oriented_shape
        z, y, x = axes = [Stretch.of(*axis) for axis in zip(self.box.slices, old, new, strict=True)]
        shape = [axis.source.stop - axis.source.start for axis in axes]
        scores = background(self.target)[:, None, None, None].repeat(1, *shape)
        inside = [
            slice(a.start - b.source.start, a.stop - b.source.start) for a, b in zip(self.box.slices, axes, strict=True)
        ]
        scores[(slice(None), *inside)] = self.inside
        # The axis of the planes comes last, so that the whole volume is never there at once.
        for number, plane in z.planes(y.apply(x.apply(scores, 3), 2)):
            yield (number, y.reached, x.reached), plane


def background(target: Target) -> Tensor:
    """The scores `[C]` of a voxel that is certainly background."""
    scores = torch.zeros(target.channels)
    if target is Target.SOFTMAX_LABELS:
        scores[Label.BACKGROUND] = 1.0
    return scores
