"""A loss that tells a patch's own teacher vector from those of unlike patches."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.losses.precision import full_precision


@full_precision
def patch_contrast(student: Tensor, teacher: Tensor, foreground: Tensor, temperature: float) -> Tensor:
    """InfoNCE over the patches of a crop: scalar, mean over patches and batch (PKDR, between Eq. 6 and 8).

    For each student vector the positive is the teacher's at the same place, the negatives are the teacher's vectors
    in the same crop whose patch is of the other kind; cosines over `temperature`. Patches of the same kind are
    neither. A crop whose patches are all of one kind gives exactly 0.

    Unlike every other distillation term, this one sends a gradient to the teacher's embeddings as well: both sides'
    projectors learn from it, for a projector without training would embed at random. The teacher's features behind
    its projector are the caller's to detach.

    Args:
        student: embeddings `[B,C,*]`, one vector for each patch.
        teacher: embeddings `[B,C,*]`, made by a projector from features that the caller has detached.
        foreground: `[B,*]`, whether a patch holds any tumour.
        temperature: `tau`, above 0; the paper does not state it, 0.1 is SimCLR's.
    """
    directions = F.normalize(student.flatten(2), dim=1)
    anchors = F.normalize(teacher.flatten(2), dim=1)
    similarity = directions.transpose(1, 2) @ anchors / temperature
    kind = foreground.flatten(1) > 0
    unlike = kind[:, :, None] != kind[:, None, :]
    own = torch.eye(similarity.shape[1], dtype=torch.bool, device=similarity.device)
    rivals = similarity.masked_fill(~(unlike | own), -math.inf)
    positive = similarity.diagonal(dim1=1, dim2=2)
    return (rivals.logsumexp(2) - positive).mean()
