"""PKDR: patch-level knowledge distillation and regularisation.

**Paper.** Wang R. et al.: the patch-level distillation and regularisation of PKDR, ICASSP 2024, doi
10.1109/ICASSP48485.2024.10448218.

**Idea.** Where is the tumour at all? A head on the encoder's output answers for every patch, which regularises the
student. From a frozen teacher that has seen all four sequences and has the same head, the student learns (a) its
softened
regions at every voxel, (b) its softened answers at every patch, and (c) to embed a patch near the teacher's embedding
of the
same patch and away from patches of the other kind, with tumour or without.

**Equations.**
Eq. 1, patch labels -> `losses.patch_presence`;
Eq. 2-3 and 8 -> `segmentation` -> `losses.binary_cross_entropy_dice`;
Eq. 4, L_ps -> `patch_selection` -> the same on patches;
Eq. 5, L_kd -> `soft_regions` -> `losses.soft_region_entropy`;
Eq. 6, L_pskd -> `soft_patches` -> the same on patches;
the equation without a number between 6 and 8, L_cont -> `patch_contrast` -> `losses.patch_contrast`;
Eq. 9 -> their weighted sum.

**Departures.** Where the paper is silent, this file takes:
patches of the encoder's stride, since each position of its output has to stand for one patch (16 for the VNet);
a projector on each side, both trained with the student, as the teacher was never trained with one (as in CRD);
a contrast temperature of 0.1 (SimCLR), negatives from the same crop, and exactly 0 for crops whose patches are of one
kind;
batch normalisation of the teacher in evaluation mode;
a patch head of a `3x3x3` convolution to half the channels, batch normalisation, ReLU and a `1x1x1` convolution, and
projectors from C to C to C/2 channels.
A voxel counts for a region only if it counts for those around it, too, so that a mask holds one label a voxel; each
sigmoid by itself may say otherwise.
Eq. 3 binarises the prediction, which has no gradient: probabilities stand in for it, with squared denominators over the
whole batch as in ProtoKD (`dice_denominator: plain` is Eq. 3 as printed).
Eq. 5 and 6 are cross-entropies, whose floor is the teacher's entropy (about 2 at T = 10): the terms here are what
lies above that floor. Their gradients are those of the paper; their logged values can reach 0.
As printed they have no factor T^2 (`t2_scale: true` adds it), so that the gradient of Eq. 5, at T = 10, is some 1/45 of
that at T = 1, which next to the other terms is nearly idle; that of Eq. 6, at T = 5, is some 1/13.
The network is the caller's: by default ACN's, as for all methods here; a VNet, which is all that
the paper says, as ProtoKD has it, is in
configs/methods/pkdr.yaml.
Students of more than one sequence go beyond the paper, which has four students of one.

**Weights.** Published (Eq. 9): segmentation 1, patch selection 0.7, soft regions, soft patches and contrast 0.5 each.
Ours are the same; entropies are summed over the three regions and averaged over voxels or patches, Dice is summed over
the regions, the contrast is a mean over patches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from limbeck.anatomy import Region
from limbeck.batch import Batch, View
from limbeck.errors import require
from limbeck.losses import binary_cross_entropy_dice, patch_contrast, patch_presence, soft_region_entropy
from limbeck.methods.base import Context, Method, NetworkSettings, Objectives, Progress, weighted
from limbeck.networks.heads import PatchHead, Projector
from limbeck.target import Target


@dataclass(frozen=True)
class PKDRSettings(NetworkSettings):
    """Settings of PKDR.

    Attributes:
        segmentation_weight: weight of binary cross-entropy + Dice on voxels (Eq. 9: 1).
        patch_selection_weight: weight of the same on patches, the regularisation (Eq. 9: 0.7).
        soft_region_weight: weight of the teacher's soft regions at voxels (Eq. 9: 0.5).
        soft_patch_weight: weight of the teacher's soft answers at patches (Eq. 9: 0.5).
        patch_contrast_weight: weight of the contrast between patches (Eq. 9: 0.5).
        voxel_temperature: softens both sides' regions at voxels (T1: 10).
        patch_temperature: softens both sides' answers at patches (T2: 5).
        contrast_temperature: of the contrast's cosines (tau, not stated; SimCLR: 0.1).
        t2_scale: multiply the two soft terms by their squared temperatures (Eq. 5 and 6 print none).
        dice_denominator: sums of squares (ProtoKD), or plain sums (Eq. 3 as printed).
    """

    segmentation_weight: float = 1.0
    patch_selection_weight: float = 0.7
    soft_region_weight: float = 0.5
    soft_patch_weight: float = 0.5
    patch_contrast_weight: float = 0.5
    voxel_temperature: float = 10.0
    patch_temperature: float = 5.0
    contrast_temperature: float = 0.1
    t2_scale: bool = False
    dice_denominator: Literal["squared", "plain"] = "squared"

    def __post_init__(self) -> None:
        """Refuse temperatures that divide by nothing.

        Raises:
            UsageError: a value is out of its range.
        """
        super().__post_init__()
        for name in ("voxel_temperature", "patch_temperature", "contrast_temperature"):
            require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "a number above 0")


class PKDR(Method[PKDRSettings]):
    """A student for one subset, taught voxel by voxel and patch by patch by a frozen network of the same kind."""

    Settings = PKDRSettings
    needs = {"teacher": "pkdr_teacher"}  # noqa: RUF012 - a ClassVar in the base
    privileged = True
    target = Target.SIGMOID_REGIONS

    def __init__(self, settings: PKDRSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.student = settings.make(len(context.subset), self.target.channels)
        channels = self.student.widths[-1]
        self.patch_head = PatchHead(channels)
        self.projector = Projector(channels)
        self.privileged_projector = Projector(channels)

    @classmethod
    def misfits(cls, settings: NetworkSettings, teacher: NetworkSettings) -> list[str]:
        """Beside another network, a patch head that has learnt nothing."""
        untrained = getattr(settings, "soft_patch_weight", 0) and not getattr(teacher, "patch_selection_weight", 0)
        head = ["patch_selection_weight 0: its patch head is untrained (soft_patch_weight: 0 would do without it)"]
        return super().misfits(settings, teacher) + (head if untrained else [])

    def training_step(self, batch: Batch, progress: Progress) -> Iterator[Objectives]:
        """Eq. 9: one descent on five terms."""
        settings = self.settings
        student = self.student(batch.view.only(self.context.subset))
        patches = self.patch_head(student.encoded[-1])
        with torch.no_grad():
            teacher, teacher_patches = self.frozen["teacher"](batch.complete)
        regions = self.target.encode(batch.labels)
        present = patch_presence(regions, settings.stride)
        squared = settings.dice_denominator == "squared"
        yield {
            "main": weighted(
                segmentation=(
                    settings.segmentation_weight,
                    lambda: binary_cross_entropy_dice(student.logits, regions, squared),
                ),
                patch_selection=(
                    settings.patch_selection_weight,
                    lambda: binary_cross_entropy_dice(patches, present, squared),
                ),
                soft_regions=(
                    settings.soft_region_weight,
                    lambda: self._softened(student.logits, teacher.logits, settings.voxel_temperature),
                ),
                soft_patches=(
                    settings.soft_patch_weight,
                    lambda: self._softened(patches, teacher_patches, settings.patch_temperature),
                ),
                patch_contrast=(
                    settings.patch_contrast_weight,
                    lambda: patch_contrast(
                        self.projector(student.encoded[-1]),
                        self.privileged_projector(teacher.encoded[-1]),
                        present[:, Region.WT],
                        settings.contrast_temperature,
                    ),
                ),
            )
        }

    def predict(self, view: View) -> Tensor:
        """Scores `[B,3,D,H,W]` from the student alone."""
        return self.target.activate(self.student(view.only(self.context.subset)).logits)

    def _softened(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Eq. 5 and 6 above their floor, the teacher's own entropy: summed over regions, averaged over the rest."""
        floor = soft_region_entropy(teacher, teacher, temperature)
        excess = soft_region_entropy(student, teacher, temperature) - floor
        return excess.sum(1).mean() * (temperature**2 if self.settings.t2_scale else 1.0)
