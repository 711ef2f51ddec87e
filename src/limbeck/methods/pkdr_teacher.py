"""The teacher of PKDR: a network regularised by having to say which patches hold tumour.

**Paper.** Wang R. et al.: the patch-level distillation and regularisation of PKDR, ICASSP 2024, doi
10.1109/ICASSP48485.2024.10448218; its first stage, and the row "Patch-Selection" of its Table 2.

**Idea.** Beside the segmentation, a small head on the encoder's output says for every patch (one position of that
output) and region whether the patch holds any of it. Labels for it come free, and PKDR's student later learns from the
head's answers. With fewer sequences than four it is PKDR's regularisation without a teacher.

**Equations.**
Eq. 1, patch labels -> `losses.patch_presence`;
Eq. 2-3 and 8, voxels -> `segmentation` -> `losses.binary_cross_entropy_dice`;
Eq. 4, patches -> `patch_selection` -> `losses.binary_cross_entropy_dice`.

**Departures.** Where the paper is silent, this file takes:
patches of the encoder's stride, since each position of its output has to stand for one patch (16 for the VNet);
a head of a `3x3x3` convolution to half the channels, batch normalisation, ReLU and a `1x1x1` convolution;
the weight 0.7 of Eq. 9 for the patches here too (the text says "combined").
A voxel counts for a region only if it counts for those around it, too, so that a mask holds one label a voxel; each
sigmoid by itself may say otherwise.
The network is the caller's: by default ACN's, as for all methods here; a VNet, which is all that
the paper says, as ProtoKD has it, is in
configs/methods/pkdr_teacher.yaml.
Eq. 3 binarises the prediction, which has no gradient: probabilities stand in for it, with squared denominators over the
whole batch as in ProtoKD (`dice_denominator: plain` is Eq. 3 as printed).

**Weights.** Published: segmentation 1; patch selection 0.7 in Eq. 9. Ours are the same; cross-entropy is summed over
the three regions and averaged over voxels or patches, Dice is summed over the regions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from limbeck.batch import Batch, View
from limbeck.losses import binary_cross_entropy_dice, patch_presence
from limbeck.methods.base import Context, Method, NetworkSettings, Objectives, Progress, weighted
from limbeck.networks.heads import PatchHead
from limbeck.networks.network import Output
from limbeck.target import Target


@dataclass(frozen=True)
class PKDRTeacherSettings(NetworkSettings):
    """Settings of PKDR's teacher.

    Attributes:
        segmentation_weight: weight of binary cross-entropy + Dice on voxels (Eq. 9: 1).
        patch_selection_weight: weight of the same on patches (Eq. 9: 0.7; for the teacher not stated).
        dice_denominator: sums of squares (ProtoKD), or plain sums (Eq. 3 as printed).
    """

    segmentation_weight: float = 1.0
    patch_selection_weight: float = 0.7
    dice_denominator: Literal["squared", "plain"] = "squared"


class PKDRTeacher(Method[PKDRTeacherSettings]):
    """A network with a patch-selection head, trained on labels alone."""

    Settings = PKDRTeacherSettings
    target = Target.SIGMOID_REGIONS

    def __init__(self, settings: PKDRTeacherSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.network = settings.make(len(context.subset), self.target.channels)
        self.patch_head = PatchHead(self.network.widths[-1])

    def forward(self, images: Tensor) -> tuple[Output, Tensor]:
        """The network's output and the patch logits `[B,3,*/stride]` for the subset's own channels `[B,k,D,H,W]`."""
        output: Output = self.network(images)
        return output, self.patch_head(output.encoded[-1])

    def training_step(self, batch: Batch, progress: Progress) -> Iterator[Objectives]:
        """One descent on voxels and patches."""
        settings = self.settings
        output, patches = self(batch.view.only(self.context.subset))
        regions = self.target.encode(batch.labels)
        squared = settings.dice_denominator == "squared"
        yield {
            "main": weighted(
                segmentation=(
                    settings.segmentation_weight,
                    lambda: binary_cross_entropy_dice(output.logits, regions, squared),
                ),
                patch_selection=(
                    settings.patch_selection_weight,
                    lambda: binary_cross_entropy_dice(patches, patch_presence(regions, settings.stride), squared),
                ),
            )
        }

    def predict(self, view: View) -> Tensor:
        """Scores `[B,3,D,H,W]` from the network; the patch head is not asked."""
        return self.target.activate(self.network(view.only(self.context.subset)).logits)
