"""What passes between data and methods: a `View` that may be looked at, and a `Batch` around it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limbeck.anatomy import Subset

# Of a crop or window, in voxels: what no scan exceeds, and what no network of any method can be computed on.
LONGEST_SIDE = 1024
MOST_VOXELS = 2**26


@dataclass(frozen=True)
class View:
    """What a student, and every prediction, may look at.

    Attributes:
        images: `[B,4,D,H,W]` in `Modality` order, z-scored in the brain; absent channels are zero.
        available: `[B,4]` bool, which channels may be looked at.
        origin: `[B,3]` position of the crop's first voxel within the volume, in voxels.
    """

    images: Tensor
    available: Tensor
    origin: Tensor

    @classmethod
    def of(cls, images: Tensor, available: Tensor, origin: Tensor | None = None) -> View:
        """Deny what is not available: the view's only way to be made, so a denied voxel cannot leak.

        `torch.where` rather than a product, since zero times NaN is NaN.
        """
        seen = torch.where(available[:, :, None, None, None], images, images.new_zeros(()))
        if origin is None:
            origin = torch.zeros(len(images), 3, dtype=torch.long, device=images.device)
        return cls(seen, available, origin)

    def only(self, subset: Subset) -> Tensor:
        """The subset's channels alone, `[B,k,D,H,W]` in canonical order."""
        return self.images[:, list(subset.channels)]

    def to(self, device: torch.device | str) -> View:
        """The same view on another device."""
        return View(self.images.to(device), self.available.to(device), self.origin.to(device))


@dataclass(frozen=True)
class Batch:
    """Crops for one training step.

    Attributes:
        view: what the student may see.
        complete: `[B,4,D,H,W]` all sequences: the teacher's privilege. A search for `complete` shows every look.
        present: `[B,4]` bool, what lies on disk; `view.available` is a part of it.
        labels: `[B,D,H,W]` long, codes of `anatomy.Label`.
        case_ids: the cases that the crops were taken from.
    """

    view: View
    complete: Tensor
    present: Tensor
    labels: Tensor
    case_ids: tuple[str, ...]

    def seen_as(self, subset: Subset) -> Batch:
        """The same crops as a student for a subset sees them; all but the view is this batch's own."""
        available = torch.tensor(subset.mask(), device=self.complete.device).expand(len(self.complete), -1)
        return replace(self, view=View.of(self.complete, available, self.view.origin))

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.view.to(device),
            self.complete.to(device),
            self.present.to(device),
            self.labels.to(device),
            self.case_ids,
        )
