"""CHOI: single-stage distillation by Barlow twins. A reconstruction from the paper's abstract.

**Paper.** Choi et al.: single-stage knowledge distillation with Barlow twins for segmentation from limited sequences,
Computer Methods and Programs in Biomedicine 2023, 107644. Only the abstract, keywords and highlights were at hand, so
this is a RECONSTRUCTION: the idea is theirs, the details below are not vouched for.

**Idea.** Teacher (all sequences) and student (some) learn in one stage, one after the other in every iteration.
In the latent space the student's channels are made to correlate with their twins of the teacher and with no other
(Barlow twins). Both backbones learn from the labels at several scales of their decoders (deep supervision).

**Equations.**
Deep-supervision cross-entropy (and Dice) -> `segmentation`, `teacher_segmentation` -> `losses.deep_supervision`;
Barlow twins, sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2 -> `barlow_twins` -> `losses.barlow_twins`;
optional soft labels -> `soft_labels` -> `losses.soft_label_divergence`.

**Departures.** Everything that the abstract does not say is reconstructed:
nnU-Net's plain network (a keyword), four exclusive classes;
the bottleneck as latent space, positions times batch as samples: with nnU-Net's batch of two and pooled features every
correlation is 1 or -1 and the loss cannot teach (`bt_samples: pooled` shows it);
no projector (`projector: true` puts one that both sides share and that learns from the student's side);
the teacher held constant in the student's terms, its step taken first;
weights 1, 1/2, 1/4 ... over the scales, normalised, the coarsest left out, as in nnU-Net;
Dice beside cross-entropy, with plain denominators as in nnU-Net, but over the batch (`dice_weight: 0` is the abstract's
cross-entropy alone).
The network is the caller's: by default ACN's, as for all methods here; nnU-Net's is in configs/methods/choi.yaml, with
torch's own start of its weights.
The paper reports FLAIR + T1ce; other subsets go beyond it.

**Weights.** Published: none at hand. Ours: segmentation 1 (cross-entropy 1, Dice 1), Barlow twins 1 on the sum divided
by the number of channels, redundancy 0.0051 (the official code of Barlow twins).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from limbeck.anatomy import Modality
from limbeck.batch import Batch, View
from limbeck.errors import require
from limbeck.losses import barlow_twins, cross_entropy, deep_supervision, soft_label_dice, soft_label_divergence
from limbeck.methods.base import Context, Method, NetworkSettings, Objectives, Progress, weighted
from limbeck.networks.batchnorm import BatchNorm
from limbeck.networks.heads import DeepHeads
from limbeck.networks.network import Network, Output


@dataclass(frozen=True)
class CHOISettings(NetworkSettings):
    """Settings of CHOI, a reconstruction.

    Attributes:
        segmentation_weight: weight of the student's deep supervision (reconstructed: 1).
        dice_weight: weight of Dice beside cross-entropy at every scale, for both (nnU-Net: 1; abstract: 0).
        barlow_twins_weight: weight of Barlow twins, divided by the channels (reconstructed: 1).
        soft_label_weight: weight of the teacher's classes, temperature 1 (reconstructed: off).
        redundancy: weight of the pairs of different channels (Barlow twins: 0.0051).
        bt_samples: what Barlow twins correlates over; pooled cannot teach with small batches, nor at all with one crop.
        projector: pass both sides' latent features through one shared projector first (reconstructed: no).
    """

    auxiliary = ("dice_weight",)

    segmentation_weight: float = 1.0
    dice_weight: float = 1.0
    barlow_twins_weight: float = 1.0
    soft_label_weight: float = 0.0
    redundancy: float = 0.0051
    bt_samples: Literal["positions", "pooled"] = "positions"
    projector: bool = False

    def __post_init__(self) -> None:
        """Refuse a redundancy that rewards what it should punish.

        Raises:
            UsageError: a value is out of its range.
        """
        super().__post_init__()
        require(0 <= self.redundancy < math.inf, "redundancy", self.redundancy, "0 or a number above it")


class DeeplySupervised(nn.Module):
    """A network with a head at every scale of its decoder but the coarsest."""

    def __init__(self, network: Network, classes: int) -> None:
        super().__init__()
        self.network = network
        self.heads = DeepHeads(network.decoded_widths[1:-1], classes)

    def forward(self, images: Tensor) -> tuple[Output, list[Tensor]]:
        """Images `[B,k,D,H,W]` to the output, and logits from fine to coarse."""
        output: Output = self.network(images)
        return output, [output.logits, *reversed(self.heads(output.decoded[1:-1]))]


class CHOI(Method[CHOISettings]):
    """A student for one subset, and a teacher that steps before it in every iteration."""

    Settings = CHOISettings
    privileged = True

    def __init__(self, settings: CHOISettings, context: Context) -> None:
        super().__init__(settings, context)
        classes = self.target.channels
        self.student = DeeplySupervised(settings.make(len(context.subset), classes), classes)
        self.teacher = DeeplySupervised(settings.make(len(Modality), classes), classes)
        latent = self.student.network.widths[-1]
        self.projector = _projector(latent) if settings.projector else nn.Identity()

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The student, and the teacher."""
        return {
            "main": [*self.student.parameters(), *self.projector.parameters()],
            "teacher": list(self.teacher.parameters()),
        }

    def training_step(self, batch: Batch, progress: Progress) -> Iterator[Objectives]:
        """Two descents: the teacher's, then the student's on what the teacher gave before its step."""
        settings = self.settings
        teacher, teacher_logits = self.teacher(batch.complete)
        latent, answer = teacher.encoded[-1].detach(), teacher.logits.detach()
        yield {"teacher": {"teacher_segmentation": deep_supervision(self._segmentation, teacher_logits, batch.labels)}}
        # The teacher's features need not be held while the student's are made.
        del teacher, teacher_logits
        student, logits = self.student(batch.view.only(self.context.subset))
        yield {
            "main": weighted(
                segmentation=(
                    settings.segmentation_weight,
                    lambda: deep_supervision(self._segmentation, logits, batch.labels),
                ),
                barlow_twins=(
                    settings.barlow_twins_weight,
                    lambda: self._twins(student.encoded[-1], latent),
                ),
                soft_labels=(
                    settings.soft_label_weight,
                    lambda: soft_label_divergence(student.logits, answer, 1.0).mean(),
                ),
            )
        }

    def predict(self, view: View) -> Tensor:
        """Scores `[B,4,D,H,W]` from the student's network alone."""
        return self.target.activate(self.student.network(view.only(self.context.subset)).logits)

    def _segmentation(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy, and Dice beside it, at one scale."""
        terms = weighted(
            cross_entropy=(1.0, lambda: cross_entropy(logits, labels)),
            dice=(self.settings.dice_weight, lambda: soft_label_dice(logits, labels, squared=False)),
        )
        return torch.stack(list(terms.values())).sum()

    def _twins(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Barlow twins by channel."""
        ours, theirs = self.projector(student), self.projector(teacher)
        if self.settings.bt_samples == "pooled":
            ours, theirs = (features.mean((2, 3, 4), keepdim=True) for features in (ours, theirs))
        loss: Tensor = barlow_twins(ours, theirs, self.settings.redundancy) / ours.shape[1]
        return loss


def _projector(channels: int) -> nn.Sequential:
    """Two `1x1x1` convolutions with batch normalisation and ReLU between them, as papers.md 5.2 has it."""
    return nn.Sequential(
        nn.Conv3d(channels, channels, 1, bias=False),
        BatchNorm(channels),
        nn.ReLU(inplace=True),
        nn.Conv3d(channels, channels, 1),
    )
