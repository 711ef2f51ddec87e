"""Whether our training and MONAI's are the same work: one image, one loss, one gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai import transforms as mt
from torch import Tensor
from yardstick_monai import files, prepared, their_loss
from yardstick_ours import START, Sizes, make_method

from limbeck.anatomy import Modality, Subset
from limbeck.batch import Batch, View
from limbeck.data.cohort import Cohort
from limbeck.methods.base import Method

# What may come of voxels that lie on the other side of a rounding to float16, which is how we keep images.
ROUNDED_LOSS, ROUNDED_GRADIENT = 1e-3, 1e-2
SAME_LOSS, SAME_GRADIENT = 1e-6, 1e-4


def agreement(cohort: Cohort, phantoms: Path, subset: Subset, sizes: Sizes) -> str:
    """How far image, loss and gradients of both ways lie apart on one crop.

    Raises:
        SystemExit: further than rounding explains.
    """
    theirs = mt.Compose(prepared(sizes.spacing, (1, 1, 1)))(files(phantoms, subset)[0])
    # MONAI's `[X,Y,Z]` in RAS is our `[z,y,x]` turned round.
    image, labels = (theirs[key].as_tensor().permute(0, 3, 2, 1) for key in ("image", "label"))
    case = cohort.case(Path(files(phantoms, subset)[0]["label"]).parent.name)
    ours = torch.stack([torch.from_numpy(case.images(modality).copy()).float() for modality in sorted(subset)])
    offset = [
        int(start) - first for start, first in zip(theirs["foreground_start_coord"][::-1], case.crop.start, strict=True)
    ]
    places = _tumour(labels[0], sizes.side)
    there = tuple(slice(first, first + sizes.side) for first in places)
    here = tuple(slice(first + shift, first + shift + sizes.side) for first, shift in zip(places, offset, strict=True))
    mine = ours[(slice(None), *here)][None]
    truth = torch.from_numpy(case.labels()[here].copy()).long()[None]  # type: ignore[index]
    other, other_truth = image[(slice(None), *there)][None].contiguous(), labels[(slice(None), *there)][None]
    if not torch.equal(truth, other_truth[:, 0].long()):
        raise SystemExit("MONAI's pipeline and ours cut different labels: expected the same")
    # Images are kept in float16 by us.
    other = other.half().float()
    apart = float((mine - other).abs().max())
    method = make_method(subset, sizes)
    reference = _ours_on(method, mine, truth, subset)
    same = _apart(reference, _theirs_on(method, mine, other_truth))
    rounded = _apart(reference, _theirs_on(method, other, other_truth))
    _expect(same, (SAME_LOSS, SAME_GRADIENT), "the same crop")
    _expect(rounded, (ROUNDED_LOSS, ROUNDED_GRADIENT), "each its own crop")
    return f"loss {same[0]:.0e}, gradients {same[1]:.0e}; with each its own image {rounded[0]:.0e}, {rounded[1]:.0e}, \
voxels within {apart:.0e}"


def _tumour(labels: Tensor, side: int) -> list[int]:
    """First voxel of a crop with the tumour in its middle."""
    middle = labels.nonzero().float().mean(0).round().int().tolist()
    return [min(max(centre - side // 2, 0), length - side) for centre, length in zip(middle, labels.shape, strict=True)]


def _ours_on(method: Method[Any], crop: Tensor, labels: Tensor, subset: Subset) -> tuple[Tensor, Tensor]:
    complete = torch.zeros(1, len(Modality), *crop.shape[2:])
    complete[:, list(subset.channels)] = crop
    available = torch.tensor([subset.mask()])
    batch = Batch(View.of(complete, available), complete, available, labels, ("",))
    ((terms,),) = (tuple(objectives.values()) for objectives in method.training_step(batch, START))
    return _gradient(method, torch.stack(list(terms.values())).sum())


def _theirs_on(method: Method[Any], crop: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return _gradient(method, their_loss()(method.network(crop).logits, labels))


def _gradient(method: Method[Any], loss: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and its gradient in one row."""
    parts = torch.autograd.grad(loss, list(method.parameters()))
    return loss.detach(), torch.cat([part.flatten() for part in parts])


def _apart(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """How far losses and gradients lie apart, against their size."""
    loss, gradient = (float((a - b).norm() / a.norm()) for a, b in zip(one, other, strict=True))
    return loss, gradient


def _expect(found: tuple[float, float], most: tuple[float, float], what: str) -> None:
    if any(not value <= limit for value, limit in zip(found, most, strict=True)):
        raise SystemExit(f"{what}: loss and gradients differ by {found}: expected at most {most}")
