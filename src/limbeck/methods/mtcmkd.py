"""MTCM-KD: three teachers of one sequence each, co-trained, weighted by how well they did.

**Paper.** Ahmad, Ullah, Gwak: MTCM-KD (multi-teacher cross-modal knowledge distillation), Knowledge-Based Systems 297,
2024, 111854. Only its abstract was at hand: what is here follows the authors' public code, its figure and its results.

**Idea.** The student sees one sequence; each of three teachers sees one of the others. All four learn side by side.
The teachers' features at half size are fused into a segmentation of its own (CDSFL), so that they learn from one
another.
From the second epoch on the student learns from each teacher's softened classes, in proportion to that teacher's Dice
of the whole tumour in the epoch before, and from the fusion by a head at half size.

**Equations.** The numbers are those of the authors' figure.
Base loss of all -> `segmentation`, `deep`, `teacher_<sequence>`, `fusion` -> `losses.dice_jaccard_cross_entropy`;
kd(s, t) = T KL(t, s) -> `soft_<sequence>`, `soft_fusion` -> `losses.soft_label_divergence`;
Eq. 1, weights by performance -> `after_epoch` -> `losses.performance_weights`;
Eq. 3-4, fusion (CDSFL) -> `networks.fusion.Fusion`.

**Departures.** The corrected mode is the default. Against the published code it takes:
the divergence as a mean over voxels times T^2, where the code sums over them (some two million) and multiplies by T, so
that the weights below say little (the mean times T, `t2_scale: false`, would leave soft labels idle);
volumetric Dice for Eq. 1, on crops that hold tumour, where the code averages over slices of which the empty ones
score 1;
z-scored images, where an operator's precedence leaves raw intensities (`limbeck import --normalisation raw`);
one learning rate for all, where a scheduler that is made and never stepped leaves the student a 25th of it, and a first
beta of 0.95;
an epsilon of 1e-5 above the fraction of Dice and Jaccard as well as below it, so that a class absent from crop and
prediction scores 1, where the code has 1e-7 below alone and gives it 0 (probabilities are summed over the crop, so that
a softmax seldom comes that near).
`as_published: true` restores all five (`batch_sum`, `legacy_slice_mean`, `raw`, and the last two). What lies outside
the method is not restored: volumes resized to 128^3 by nearest neighbours (crops here), no augmentation (the authors'
recipe, configs/methods/mtcmkd.yaml, leaves axis flips of it), the plateau schedule, the early stop and a checkpoint
chosen on the fold that is reported. The slice metric is a protocol's (`--protocol mtcmkd-as-published`).
The student's convolutions start Xavier-normal, transposed ones too; the code draws its linear layers so as well and
sets the biases of both to 0, but leaves transposed convolutions as torch makes them.
The network is the caller's: by default ACN's, as for all methods here; the authors' is in configs/methods/mtcmkd.yaml.
The teachers descend before the student in an iteration; the student learns from what they gave before.
Students of FLAIR and T2 go beyond the published T1ce and T1.
The second deep head of the code is left out, since the reported recipe gives it no weight; so is the nonlinearity after
the fusion's sum, which the figure draws and the code lacks.
A run of one epoch (`epoch_steps`) or less has no soft labels at all.

**Weights.** Published: student 0.75, teachers 0.15 shared out, fusion 0.10, of which 0.7 for labels and 0.3 for
soft labels; for the fusion itself 0.08 in the last code, 0.10 in the reported runs. In the first epoch the student has
its base loss alone, weight 1. Ours are the same, with 0.08. Base losses are means; soft labels are summed over classes
and averaged over voxels, times T^2 = 400.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limbeck.anatomy import Modality, Region, Subset
from limbeck.batch import Batch, View
from limbeck.errors import UsageError, require
from limbeck.losses import (
    batch_sum,
    dice_jaccard_cross_entropy,
    performance_weights,
    resize_labels,
    soft_label_divergence,
)
from limbeck.methods.base import Context, Descent, Method, NetworkSettings, Objectives, Progress, weighted
from limbeck.networks.fusion import Fusion
from limbeck.networks.heads import DeepHeads
from limbeck.networks.network import Output
from limbeck.normalisation import Normalisation
from limbeck.overlap import hard_dice, legacy_slice_mean
from limbeck.ranks import summed
from limbeck.target import inside

HALF = -2  # the decoder's level at half size


@dataclass(frozen=True)
class MTCMKDSettings(NetworkSettings):
    """Settings of MTCM-KD.

    Attributes:
        segmentation_weight: weight of the student's base loss (published: 0.75; 1 in the first epoch).
        soft_label_weight: what the three teachers' weights sum to (published: 0.15).
        deep_weight: weight of the student's head at half size, labels (published: 0.10 x 0.7).
        soft_fusion_weight: weight of the fusion's soft labels for that head (published: 0.10 x 0.3).
        fusion_weight: weight of the fusion's base loss, beside 1 for each teacher (published: 0.08, in the reported
            runs 0.10); at 0 the fusion is untrained, so soft_fusion_weight should be 0 too.
        temperature: softens both sides' class probabilities (published: 20).
        t2_scale: multiply soft labels by the squared temperature; as published by the temperature alone.
        as_published: sums over voxels, slice Dice, raw intensities and rates as the authors' code has them.
    """

    auxiliary = ("fusion_weight",)

    segmentation_weight: float = 0.75
    soft_label_weight: float = 0.15
    deep_weight: float = 0.07
    soft_fusion_weight: float = 0.03
    fusion_weight: float = 0.08
    temperature: float = 20.0
    t2_scale: bool = True
    as_published: bool = False

    def __post_init__(self) -> None:
        """Refuse a temperature that divides by nothing.

        Raises:
            UsageError: a value is out of its range.
        """
        super().__post_init__()
        require(0 < self.temperature < math.inf, "temperature", self.temperature, "a number above 0")

    @property
    def normalisation(self) -> Normalisation:
        """Raw intensities as published, else z-scores."""
        return Normalisation.RAW if self.as_published else Normalisation.Z_SCORE


class MTCMKD(Method[MTCMKDSettings]):
    """A student of one sequence, and a teacher for each of the other three.

    Attributes:
        shares: `[3]` each teacher's weight, from its Dice in the epoch before (alpha of Eq. 1).
        scores: `[3]` sum of each teacher's Dice over this epoch's crops.
        crops: how many crops that were.
    """

    Settings = MTCMKDSettings
    privileged = True
    shares: Tensor
    scores: Tensor
    crops: Tensor

    def __init__(self, settings: MTCMKDSettings, context: Context) -> None:
        super().__init__(settings, context)
        classes = self.target.channels
        self.taught = tuple(modality for modality in Modality if modality not in context.subset)
        self.student = settings.make(1, classes).apply(_xavier_normal)
        half = self.student.decoded_widths[HALF]
        self.deep_head = DeepHeads([half], classes).apply(_xavier_normal)
        self.teachers = nn.ModuleList(settings.make(1, classes) for _ in self.taught)
        self.fusion = Fusion(half, classes, len(self.taught))
        for name, value in (("shares", settings.soft_label_weight / len(self.taught)), ("scores", 0.0)):
            self.register_buffer(name, torch.full((len(self.taught),), value))
        self.register_buffer("crops", torch.zeros(()))

    @classmethod
    def check(cls, subset: Subset) -> None:
        """One sequence: the teachers see what the student does not."""
        if len(subset) != 1:
            raise UsageError(
                f"mtcmkd teaches a student of one sequence: expected t1ce, t1, flair or t2, found {subset}"
            )

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The student with its head, and the teachers with their fusion."""
        return {
            "main": [*self.student.parameters(), *self.deep_head.parameters()],
            "teachers": [*self.teachers.parameters(), *self.fusion.parameters()],
        }

    def descents(self) -> dict[str, Descent]:
        """As published, what an unused one-cycle schedule does to the student's optimiser."""
        return {"main": Descent(rate=1 / 25, betas=(0.95, 0.999))} if self.settings.as_published else {}

    def training_step(self, batch: Batch, progress: Progress) -> Iterator[Objectives]:
        """Two descents: the teachers', then the student's on what the teachers gave before their step."""
        teachers: list[Output] = [
            teacher(batch.complete[:, modality, None])
            for teacher, modality in zip(self.teachers, self.taught, strict=True)
        ]
        fused = self.fusion([teacher.decoded[HALF] for teacher in teachers])
        labels = batch.labels
        self._keep_scores(teachers, labels)
        at_half = resize_labels(labels, fused.shape[2:])
        objectives = {
            f"teacher_{modality.role}": self._base(teacher.logits, labels)
            for modality, teacher in zip(self.taught, teachers, strict=True)
        }
        objectives |= weighted(fusion=(self.settings.fusion_weight, lambda: self._base(fused, at_half)))
        answers, fused = [teacher.logits.detach() for teacher in teachers], fused.detach()
        yield {"teachers": objectives}
        # The teachers' features need not be held while the student's are made.
        del teachers, objectives
        student: Output = self.student(batch.view.only(self.context.subset))
        if progress.epoch == 0:
            yield {"main": {"segmentation": self._base(student.logits, labels)}}
        else:
            yield {"main": self._taught_terms(student, answers, fused, labels, at_half)}

    def after_epoch(self, progress: Progress) -> None:
        """Eq. 1: the next epoch's weights from this epoch's scores."""
        self.shares.copy_(performance_weights(self.scores / self.crops.clamp(min=1), self.settings.soft_label_weight))
        self.scores.zero_()
        self.crops.zero_()

    def predict(self, view: View) -> Tensor:
        """Scores `[B,4,D,H,W]` from the student alone."""
        return self.target.activate(self.student(view.only(self.context.subset)).logits)

    def _taught_terms(
        self, student: Output, teachers: list[Tensor], fused: Tensor, labels: Tensor, at_half: Tensor
    ) -> dict[str, Tensor]:
        """The student's terms from the second epoch on; the logits of teachers and fusion are constants in them."""
        settings = self.settings
        (deep,) = self.deep_head([student.decoded[HALF]])
        terms = weighted(
            segmentation=(settings.segmentation_weight, lambda: self._base(student.logits, labels)),
            deep=(settings.deep_weight, lambda: self._base(deep, at_half)),
            soft_fusion=(settings.soft_fusion_weight, lambda: self._soft(deep, fused)),
        )
        if settings.soft_label_weight:
            for modality, teacher, share in zip(self.taught, teachers, self.shares.clone(), strict=True):
                terms[f"soft_{modality.role}"] = share * self._soft(student.logits, teacher)
        return terms

    def _base(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A third each of Dice, Jaccard and cross-entropy."""
        return dice_jaccard_cross_entropy(logits, labels, absent_scores_zero=self.settings.as_published)

    def _soft(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The divergence of the softened classes, brought back to the scale of the others."""
        settings = self.settings
        divergence = soft_label_divergence(student, teacher, settings.temperature)
        if settings.as_published:
            return settings.temperature * batch_sum(divergence)
        return settings.temperature ** (2 if settings.t2_scale else 1) * divergence.mean()

    @torch.no_grad()
    def _keep_scores(self, teachers: list[Output], labels: Tensor) -> None:
        """Add each teacher's Dice of the whole tumour on this batch's crops; corrected, on those that hold any."""
        metric = legacy_slice_mean if self.settings.as_published else hard_dice
        whole = inside(labels, Region.WT)
        counted = whole.flatten(1).any(1) | self.settings.as_published
        for index, teacher in enumerate(teachers):
            found = inside(self.target.decode(teacher.logits), Region.WT)
            (score,) = summed(metric(found, whole)[counted].sum())
            self.scores[index] += score
        (crops,) = summed(counted.sum().to(self.crops.dtype))
        self.crops += crops


def _xavier_normal(layer: nn.Module) -> None:
    """How the student's convolutions start; the teachers' stay as torch makes them, as the authors' do."""
    if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.xavier_normal_(layer.weight)
