"""RIRN: the reconstructed relations of an incomplete network, taught while the teacher itself is learning.

**Paper.** Su et al.: RIRN (reconstruct incomplete relation network), Neural Networks 2024, 106657.

**Idea.** A teacher with all four sequences and a student with some of them learn side by side. What passes over are
relations: how alike the mean features of the tumour's regions are to one another (CRR, class relation), counted where
the teacher is right; how every position of the bottleneck attends to every other (CAR); and, by a critic that has to
tell the two apart, the look of the whole segmentation.

**Equations.**
Eq. 1, Dice of both -> `segmentation`, `teacher_segmentation` -> `losses.region_dice`;
Eq. 2-5, CRR -> `class_relation` -> `losses.class_relation`;
Eq. 6-7, CAR -> `position_relation` -> `losses.attention_distance`;
Eq. 8, ADV -> `fool` -> `losses.fool_loss`, and for the critic `tell_apart` -> `losses.critic_loss`;
Eq. 9 -> their sum.

**Departures.** Where the paper is silent or cannot be meant, this file takes:
a complete non-local block on each network's bottleneck, in its forward pass, whose attention is CAR's relation: it fits
the paper's 4.73 million parameters and 272.75 billion operations, and lets the teacher's relation be learnt from its
own Dice (`car_in_forward: false`: queries and keys of full width that CAR alone uses, which fit as well);
a softmax over keys for Eq. 6, which prints an exponential inside a softmax and would overflow, without a scale;
the last decoder's output as the penultimate layer of CRR, and the teacher's mask for the student's features too;
the normaliser of Eq. 7 as printed, although it bounds CAR by 0.016 (`car_norm: rows` makes it count);
Eq. 8 as the game that it must be: the critic's own cross-entropy, halved, against the student's non-saturating one
(`adv_form: saturating` is the student's side as printed);
a critic of two `4x4x4` convolutions with stride 2, of 64 channels and a LeakyReLU of 0.2, on sigmoid outputs, with
Adam's betas 0.9 and 0.99 as in ACN, and the weight decay of the networks;
Dice with squared denominators, summed over the three regions, as in ACN, but for an epsilon of 1e-7 above the fraction
as below it;
pairs with an empty mask left out of CRR, whose masks are nested as published and whose mean is over all samples, those
without a pair at 0;
a first convolution of the student for its own sequences alone, without zeros for the others;
the student's, the teacher's and the critic's descents in one iteration from the same forward pass.
A voxel counts for a region only if it counts for those around it, too, so that a mask holds one label a voxel; each
sigmoid by itself may say otherwise.
The network is the caller's: by default ACN's, the paper's, at its width of 16 but without its dropout of 0.2, which
configs/methods/rirn.yaml has; the teacher's answers then carry its dropout's noise.
With `car_in_forward: false` the teacher's queries and keys are never trained: CAR's goal is then a random projection.
Of a subset of all four sequences the student has the teacher's input: plain co-training, as published.

**Weights.** Published (Eq. 9): 1 each. Ours are the same: Dice is a sum over three regions, CRR a sum over six ordered
pairs, CAR is divided by channels times positions, the adversarial terms are means over the critic's map. At the start
CRR's gradient is the largest (three to thirty times that of Dice, by crop and seed), and CAR's the smallest. Dice alone
teaches nothing on a crop without tumour.
The game at weight 1 needs the paper's low rate: at 2e-3, that of configs/common.yaml, the student was seen to saturate
and to stop learning (docs/results/five-methods.md); ACN weighs its own adversarial terms 0.001 and less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from limbeck.anatomy import Modality
from limbeck.batch import Batch, View
from limbeck.losses import attention_distance, class_relation, critic_loss, fool_loss, region_dice
from limbeck.methods.base import Context, Descent, Method, NetworkSettings, Objectives, Progress, weighted
from limbeck.networks.critic import Critic
from limbeck.networks.network import Network, Output
from limbeck.networks.relation import NonLocal, Relation
from limbeck.target import Target

CERTAIN = 0.0  # the logit of lambda = 0.5 in Eq. 2: above it the teacher takes a voxel for a region's


@dataclass(frozen=True)
class RIRNSettings(NetworkSettings):
    """Settings of RIRN.

    Attributes:
        segmentation_weight: weight of the student's Dice (Eq. 9: 1).
        class_relation_weight: weight of class relation reconstruction, CRR (Eq. 9: 1).
        position_relation_weight: weight of the relation between positions, CAR (Eq. 9: 1).
        adversarial_weight: weight of fooling the critic, ADV (Eq. 9: 1).
        manual_filter: count only what the teacher has right in CRR (MF of Table 4).
        crr_aggregation: how a region's features become one vector (Table 7; mean is the paper's choice).
        car_norm: divides CAR by channels x positions (paper), positions squared (entries) or positions (rows).
        car_in_forward: whether the relation takes part in the network's own forward pass (not stated).
        adv_form: the student's side of Eq. 8; saturating is the printed one.
    """

    segmentation_weight: float = 1.0
    class_relation_weight: float = 1.0
    position_relation_weight: float = 1.0
    adversarial_weight: float = 1.0
    manual_filter: bool = True
    crr_aggregation: Literal["mean", "max", "min", "mid"] = "mean"
    car_norm: Literal["paper", "entries", "rows"] = "paper"
    car_in_forward: bool = True
    adv_form: Literal["non-saturating", "saturating"] = "non-saturating"


class RelationalNetwork(nn.Module):
    """A network whose bottleneck passes through a non-local block, or has its relation beside it."""

    def __init__(self, network: Network, in_forward: bool) -> None:
        super().__init__()
        self.network = network
        self.relation = (NonLocal if in_forward else Relation)(network.widths[-1])

    def forward(self, images: Tensor) -> tuple[Output, Tensor, Tensor]:
        """Images `[B,k,D,H,W]` to the output, and the relation's queries and keys (Eq. 6)."""
        *finer, bottleneck = self.network.encode(images)
        related, queries, keys = self.relation(bottleneck)
        return self.network.decode((*finer, related)), queries, keys


class RIRN(Method[RIRNSettings]):
    """A student for one subset, and a teacher and a critic that learn beside it."""

    Settings = RIRNSettings
    privileged = True
    target = Target.SIGMOID_REGIONS

    def __init__(self, settings: RIRNSettings, context: Context) -> None:
        super().__init__(settings, context)
        regions = self.target.channels
        self.student = RelationalNetwork(settings.make(len(context.subset), regions), settings.car_in_forward)
        self.teacher = RelationalNetwork(settings.make(len(Modality), regions), settings.car_in_forward)
        self.critic = Critic(regions)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The student, the teacher and the critic."""
        parts = {"main": self.student, "teacher": self.teacher, "critic": self.critic}
        return {group: list(part.parameters()) for group, part in parts.items()}

    def descents(self) -> dict[str, Descent]:
        """The critic's moments, as in ACN."""
        return {"critic": Descent(betas=(0.9, 0.99))}

    def training_step(self, batch: Batch, progress: Progress) -> Iterator[Objectives]:
        """Eq. 9: student, teacher and critic go down together, each on its own terms."""
        settings = self.settings
        student, queries, keys = self.student(batch.view.only(self.context.subset))
        teacher, teacher_queries, teacher_keys = self.teacher(batch.complete)
        regions = self.target.encode(batch.labels)
        masks = regions
        if settings.manual_filter:
            masks = regions * (teacher.logits.detach() > CERTAIN)
        objectives = {
            "main": weighted(
                segmentation=(settings.segmentation_weight, lambda: region_dice(student.logits, regions)),
                class_relation=(
                    settings.class_relation_weight,
                    lambda: class_relation(
                        student.decoded[-1], teacher.decoded[-1].detach(), masks, settings.crr_aggregation
                    ).mean(),
                ),
                position_relation=(
                    settings.position_relation_weight,
                    lambda: attention_distance(
                        queries,
                        keys,
                        teacher_queries.detach(),
                        teacher_keys.detach(),
                        student.encoded[-1].shape[1],
                        settings.car_norm,
                    ),
                ),
                fool=(
                    settings.adversarial_weight,
                    lambda: fool_loss(self.critic(_likelihoods(student)), settings.adv_form == "saturating"),
                ),
            ),
            "teacher": {"teacher_segmentation": region_dice(teacher.logits, regions)},
        }
        if settings.adversarial_weight:
            verdicts = (self.critic(_likelihoods(output).detach()) for output in (teacher, student))
            objectives["critic"] = {"tell_apart": critic_loss(*verdicts)}
        yield objectives

    def predict(self, view: View) -> Tensor:
        """Scores `[B,3,D,H,W]` from the student alone."""
        output, _, _ = self.student(view.only(self.context.subset))
        return self.target.activate(output.logits)


def _likelihoods(output: Output) -> Tensor:
    """What the critic sees: region probabilities `[B,3,*]`, not in bf16, which rounds the surest of them to 1."""
    return output.logits.to(torch.promote_types(output.logits.dtype, torch.float32)).sigmoid()
