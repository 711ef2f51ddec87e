"""GKD: segmentation-map distillation and cascade region attention distillation.

**Paper.** Xiong, Shen, Wang: Generalized Knowledge Distillation for Unimodal Glioma Segmentation from Multimodal
Models. Electronics 2023, 12(7), 1516.

**Idea.** A teacher that has seen all four sequences is frozen. The student, which sees one, learns (a) its softened
class probabilities at every voxel (SMD, segmentation map distillation, also printed as graph distillation), and
(b) the direction of its mean feature inside the tumour regions (CRAD, cascade region attention distillation): the
whole tumour at the encoder's finest level, the core at the next, the enhancing tumour at the third.

**Equations.**
Eq. 1-2, SMD -> `soft_labels` -> `losses.soft_label_divergence`;
Eq. 3-6, CRAD -> `region_attention` -> `losses.cascade_region_attention`;
Eq. 7, cross-entropy + Dice -> `segmentation` -> `losses.cross_entropy_dice`.

**Departures.** Where the paper is silent, this file takes:
four classes (background and three labels; regions are formed from the arg-max);
T = 4 and the factor T^2, as EMKD, whose losses these resemble (Eq. 1 prints no T^2: `t2_scale: false`);
cross-entropy and Dice of equal weight, Dice with squared denominators over the three foreground classes;
masks brought to a level's size by nearest neighbour (`mask_resize`);
CRAD by sample, averaged over the samples whose resized mask is not empty, and exactly 0 if none is;
ACN's U-Net for both sides, since the paper adopts ACN's protocol, without the dropout of 0.2 that ACN's code has on its
coarsest level.
Table 4's other order of the masks is `mask_order: et-tc-wt`.
Students of more than one sequence go beyond the paper, which has four students of one.

**Weights.** Published (Eq. 7): segmentation 1, soft labels 0.75, region attention 0.9. Ours are the same, on these
reductions: segmentation is a mean over voxels plus a mean over classes; soft labels are summed over classes and
averaged over voxels and batch, so that with T^2 the loss has the weight 0.75 x 16 = 12, and its gradient the order that
0.75 would have at T = 1; region attention is the sum over three levels, and at the start has the largest gradient.
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
from limbeck.losses import cascade_region_attention, cross_entropy_dice, resize_masks, soft_label_divergence
from limbeck.methods.base import Context, Method, NetworkSettings, Objectives, Progress, weighted
from limbeck.target import regions

# Shallow, middle, deep.
CASCADES = {
    "wt-tc-et": (Region.WT, Region.TC, Region.ET),
    "et-tc-wt": (Region.ET, Region.TC, Region.WT),
}


@dataclass(frozen=True)
class GKDSettings(NetworkSettings):
    """Settings of GKD.

    Attributes:
        segmentation_weight: weight of cross-entropy + Dice (Eq. 7: 1).
        soft_label_weight: weight of segmentation-map distillation (Eq. 7: 0.75).
        region_attention_weight: weight of cascade region attention distillation (Eq. 7: 0.9).
        temperature: softens both sides' class probabilities (not stated; EMKD: 4).
        t2_scale: multiply the soft-label term by the squared temperature (EMKD; Eq. 1 prints none).
        mask_resize: how region masks reach a feature's size; maxpool keeps small regions (not stated).
        mask_order: regions from the encoder's finest level to the third (Table 4: wt-tc-et is better).
    """

    segmentation_weight: float = 1.0
    soft_label_weight: float = 0.75
    region_attention_weight: float = 0.9
    temperature: float = 4.0
    t2_scale: bool = True
    mask_resize: Literal["nearest", "maxpool"] = "nearest"
    mask_order: Literal["wt-tc-et", "et-tc-wt"] = "wt-tc-et"

    def __post_init__(self) -> None:
        """Refuse a temperature that divides by nothing.

        Raises:
            UsageError: a value is out of its range.
        """
        super().__post_init__()
        require(0 < self.temperature < math.inf, "temperature", self.temperature, "a number above 0")


class GKD(Method[GKDSettings]):
    """A student for one subset, taught by a frozen network that sees all four sequences."""

    Settings = GKDSettings
    needs = {"teacher": "supervised"}  # noqa: RUF012 - a ClassVar in the base
    privileged = True

    def __init__(self, settings: GKDSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.student = settings.make(len(context.subset), self.target.channels)

    def training_step(self, batch: Batch, progress: Progress) -> Iterator[Objectives]:
        """Eq. 7: one descent on segmentation, soft labels and region attention."""
        settings = self.settings
        student = self.student(batch.view.only(self.context.subset))
        with torch.no_grad():
            teacher = self.frozen["teacher"](batch.complete)
        cascade = CASCADES[settings.mask_order]
        levels = list(zip(cascade, student.encoded, teacher.encoded, strict=False))
        whole = regions(batch.labels)
        masks = [resize_masks(whole[:, r : r + 1], s.shape[2:], settings.mask_resize) for r, s, _ in levels]
        scale = settings.temperature**2 if settings.t2_scale else 1.0
        yield {
            "main": weighted(
                segmentation=(
                    settings.segmentation_weight,
                    lambda: cross_entropy_dice(student.logits, batch.labels),
                ),
                soft_labels=(
                    settings.soft_label_weight * scale,
                    lambda: soft_label_divergence(student.logits, teacher.logits, settings.temperature).mean(),
                ),
                region_attention=(
                    settings.region_attention_weight,
                    lambda: cascade_region_attention([s for _, s, _ in levels], [t for _, _, t in levels], masks),
                ),
            )
        }

    def predict(self, view: View) -> Tensor:
        """Scores `[B,C,D,H,W]` from the student alone."""
        return self.target.activate(self.student(view.only(self.context.subset)).logits)
