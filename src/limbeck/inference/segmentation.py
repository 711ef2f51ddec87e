"""What a prediction gives: a label map on the scan's own grid, with what stands behind it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Label, Region, Subset
from limbeck.data.grid import Grid
from limbeck.inference.choice import Choice
from limbeck.inference.scored import Scored
from limbeck.target import Target


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What `Model.segment` gives.

    Attributes:
        labels: `[X,Y,Z]` uint8, codes of `anatomy.Label`, on the scan's own grid.
        found: the scores, as they came or on the same grid.
        grid: where the voxels lie.
        target: what C means.
        choice: which sequences and which members of the model made it.
        warnings: what a reader should know before believing it, a line each.
    """

    labels: NDArray[np.uint8]
    found: Scored | NDArray[np.float32]
    grid: Grid
    target: Target
    choice: Choice
    warnings: tuple[str, ...] = ()

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """`[C,X,Y,Z]` float32 in [0, 1] on the same grid, before any post-processing; made when first asked for."""
        # Hundreds of megabytes that a mask alone has no need of.
        return self.found.scores().numpy() if isinstance(self.found, Scored) else self.found

    @property
    def subset(self) -> Subset:
        """The sequences that were used."""
        return self.choice.subset

    def volumes_ml(self) -> dict[str, float]:
        """Volume of WT, TC and ET in millilitres."""
        # Each label once. `bincount` would make integers of eight bytes of millions of voxels.
        counts = [np.count_nonzero(self.labels == label) for label in Label]
        return {
            region.name: float(sum(counts[label] for label in region.labels) * self.grid.voxel_ml) for region in Region
        }

    def regions(self) -> NDArray[np.float32]:
        """Probabilities of WT, TC and ET, `[3,X,Y,Z]` float32 in [0, 1], each no greater than the one before.

        Exclusive labels are summed; of one decision for each label the greatest counts; nested regions are taken as
        they are decoded, so that one is never more probable than what surrounds it.
        """
        if self.target is Target.SIGMOID_REGIONS:
            nested: NDArray[np.float32] = np.minimum.accumulate(self.scores, axis=0)
            return nested
        # The last three channels are necrotic core, oedema, enhancing, whether or not background comes first.
        necrotic, oedema, enhancing = self.scores[-3:]
        result = np.empty((len(Region), *self.labels.shape), np.float32)
        result[Region.ET] = enhancing
        if self.target is Target.SOFTMAX_LABELS:
            result[Region.TC] = enhancing + necrotic
            result[Region.WT] = result[Region.TC] + oedema
            # A sum of rounded shares may pass 1 by a rounding.
            return np.minimum(result, np.float32(1), out=result)
        result[Region.TC] = np.maximum(enhancing, necrotic)
        result[Region.WT] = np.maximum(result[Region.TC], oedema)
        return result
