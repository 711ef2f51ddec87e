"""Scores of a block of model space, and what they are on the scan's own grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.anatomy import Label
from limbeck.data.geometry import Box, Geometry
from limbeck.data.resample import resize
from limbeck.target import Target


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
        if self.geometry.resamples:
            scores, box, shape = self._resampled()
        else:
            scores, box, shape = self.inside, self.box, self.geometry.shape
        labels = np.full(shape, Label.BACKGROUND, np.uint8)
        labels[box.slices] = self.target.decode(scores[None])[0].numpy()
        return self.geometry.labels_to_native(labels)

    @torch.inference_mode()
    def scores(self) -> Tensor:
        """The scores `[C,X,Y,Z]` on the scan's own grid."""
        whole = self.box.restore(self.inside, self.geometry.shape, background(self.target).tolist())
        return self.geometry.to_native_scores(whole)

    def _resampled(self) -> tuple[Tensor, Box, tuple[int, int, int]]:
        """The scores at the scan's spacing, as far as the block can have an influence, where that is, and its whole."""
        shape = self.geometry.oriented_shape
        reach = _reach(self.box, self.geometry.shape, shape)
        scores = torch.empty((len(self.inside), *reach.shape))
        for channel, (values, outside) in enumerate(zip(self.inside, background(self.target).tolist(), strict=True)):
            whole = self.box.restore(values[None], self.geometry.shape, outside)
            scores[channel] = resize(whole, shape)[0][reach.slices]
        return scores, reach, shape


def background(target: Target) -> Tensor:
    """The scores `[C]` of a voxel that is certainly background."""
    scores = torch.zeros(target.channels)
    if target is Target.SOFTMAX_LABELS:
        scores[Label.BACKGROUND] = 1.0
    return scores


def _reach(box: Box, old: tuple[int, int, int], new: tuple[int, int, int]) -> Box:
    """The voxels of the new shape that a block of the old one can have an influence on, and a few more."""
    start, stop = [], []
    for first, last, before, after in zip(box.start, box.stop, old, new, strict=True):
        # A voxel is made of its two neighbours; where voxels become fewer, of as many as fall into one, smoothed.
        margin = 2 + math.ceil(2 * before / after)
        start.append(max(0, math.floor((first - margin) * after / before)))
        stop.append(min(after, math.ceil((last + margin) * after / before)))
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
