"""LIMBECK: a generalist made into specialists.

**Paper.** None: this project's own recipe, out of known parts.

**Idea.** A network that has learnt to do with whatever sequences there are (`dropout`) is frozen as the teacher. The
student for a subset begins as a copy of it that has lost the absent sequences' channels, and learns on from labels and
from what the teacher says when it sees all four sequences. Both terms compare the nested regions by which a
segmentation is judged (WT, TC, ET), though the network's outputs are exclusive classes: a region's probability is the
sum of its classes', so that ET lies within TC and TC within WT whatever the network says.

**Equations.**
Start, the generalist's weights without the absent channels -> `start` -> this file;
A region's logit, log(p / (1 - p)) of the sum p of its classes' probabilities -> `target.region_logits`;
Segmentation, binary cross-entropy + soft Dice of the regions (PKDR Eq. 2-3) -> `segmentation` ->
`losses.binary_cross_entropy_dice`;
Soft labels, T^2 times the cross-entropy of softened regions above its floor, the teacher's entropy (PKDR Eq. 5, which
has no T^2) -> `soft_labels` -> `losses.soft_region_entropy`.

**Departures.** None, there being no paper. A mask takes each voxel's greatest class, though, which need not lie in
every region whose probability is above one half. `terms: classes` is the earlier form, by which the weights in the box
were trained: cross-entropy + soft Dice of classes, and T^2 KL(teacher | student) over them (GKD Eq. 1-2).

**Weights.** Segmentation 1, summed over regions; soft labels 0.5, summed over regions (or classes) and averaged over
voxels and batch, times T^2, with T = 2. Weight and temperature helped with classes in the rough prototype from which
this project grew; for regions they were not tuned. In the evidence so far the soft labels gave nothing beside the
start, and a lone student of as many steps as generalist and student together was better: what is saved is steps,
where there are many students (docs/results/distillation.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from limbeck.anatomy import Subset
from limbeck.batch import Batch, View
from limbeck.errors import require
from limbeck.losses import (
    binary_cross_entropy_dice,
    cross_entropy_dice,
    soft_label_divergence,
    soft_region_entropy,
)
from limbeck.methods.base import Context, Method, NetworkSettings, Objectives, Progress, weighted
from limbeck.networks.network import Network
from limbeck.target import region_logits, regions


@dataclass(frozen=True)
class LIMBECKSettings(NetworkSettings):
    """Settings of LIMBECK.

    Attributes:
        segmentation_weight: weight of cross-entropy + Dice, of what `terms` names.
        soft_label_weight: weight of what the teacher says.
        temperature: softens both sides' probabilities.
        terms: what both terms compare: the three nested regions, or the four exclusive classes.
        start: the student's first weights: the teacher's, or fresh ones.
    """

    segmentation_weight: float = 1.0
    soft_label_weight: float = 0.5
    temperature: float = 2.0
    terms: Literal["regions", "classes"] = "regions"
    start: Literal["teacher", "fresh"] = "teacher"

    def __post_init__(self) -> None:
        """Refuse a temperature that divides by nothing.

        Raises:
            UsageError: a value is out of its range.
        """
        super().__post_init__()
        require(0 < self.temperature < math.inf, "temperature", self.temperature, "a number above 0")


class LIMBECK(Method[LIMBECKSettings]):
    """A student for one subset, which begins as the generalist that teaches it."""

    Settings = LIMBECKSettings
    needs = {"teacher": "dropout"}  # noqa: RUF012 - a ClassVar in the base
    privileged = True

    def __init__(self, settings: LIMBECKSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.student = settings.make(len(context.subset), self.target.channels)
        if settings.start == "teacher" and "teacher" in self.frozen:
            specialise(self.student, self.frozen["teacher"], context.subset)

    def training_step(self, batch: Batch, progress: Progress) -> Iterator[Objectives]:
        """One descent on segmentation and soft labels."""
        settings = self.settings
        student = self.student(batch.view.only(self.context.subset)).logits

        def soft_labels() -> Tensor:
            with torch.no_grad():
                teacher = self.frozen["teacher"](batch.complete).logits
            return self._apart(student, teacher)

        yield {
            "main": weighted(
                segmentation=(settings.segmentation_weight, lambda: self._segmentation(student, batch.labels)),
                soft_labels=(settings.soft_label_weight * settings.temperature**2, soft_labels),
            )
        }

    def _segmentation(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.settings.terms == "classes":
            return cross_entropy_dice(logits, labels)
        return binary_cross_entropy_dice(region_logits(logits.float()), regions(labels))

    def _apart(self, student: Tensor, teacher: Tensor) -> Tensor:
        """How far the student is from the teacher, softened: 0 where both say the same."""
        temperature = self.settings.temperature
        if self.settings.terms == "classes":
            return soft_label_divergence(student, teacher, temperature).mean()
        ours, theirs = region_logits(student.float()), region_logits(teacher.float())
        excess = soft_region_entropy(ours, theirs, temperature) - soft_region_entropy(theirs, theirs, temperature)
        return excess.sum(1).mean()

    def predict(self, view: View) -> Tensor:
        """Scores `[B,C,D,H,W]` from the student alone."""
        return self.target.activate(self.student(view.only(self.context.subset)).logits)


def specialise(student: Network, teacher: nn.Module, subset: Subset) -> None:
    """Give a student the generalist's weights, but for those that read sequences which it does not have.

    The teacher presents what is absent as zeros, so that on the subset both say the same.
    """
    # Whoever answers for a method may hold it a level deeper.
    weights = {name.rpartition("network.")[2]: tensor for name, tensor in teacher.state_dict().items()}
    for name, own in student.state_dict().items():
        theirs = weights[name]
        own.copy_(theirs if theirs.shape == own.shape else theirs[:, list(subset.channels)])
