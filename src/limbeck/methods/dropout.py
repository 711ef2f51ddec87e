"""Random sequence dropout: one network for all 15 subsets.

**Paper.** None: the strong simple rival, which a distillation method has to beat besides the lower bound.

**Idea.** The network has four input channels; in training every sample sees a subset drawn uniformly from the 15,
and absent sequences are zero, which is the mean of a z-scored brain.

**Equations.** Segmentation: cross-entropy + soft Dice -> `segmentation` -> `losses.cross_entropy_dice`.

**Departures.** None. The loader draws the subset, of patients that lack sequences among those that they have; this file
only presents it.

**Weights.** Segmentation 1, reduced as in `supervised`.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from limbeck.anatomy import Modality
from limbeck.batch import Batch, View
from limbeck.losses import cross_entropy_dice
from limbeck.methods.base import Context, Method, NetworkSettings, Objectives, Progress
from limbeck.networks.network import Output


class Dropout(Method[NetworkSettings]):
    """A generalist that learns to do without."""

    Settings = NetworkSettings
    generalist = True

    def __init__(self, settings: NetworkSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.network = settings.make(len(Modality), self.target.channels)

    def forward(self, images: Tensor) -> Output:
        """Logits and features for all four channels `[B,4,D,H,W]`: what a student may learn from."""
        output: Output = self.network(images)
        return output

    def training_step(self, batch: Batch, progress: Progress) -> Iterator[Objectives]:
        """One descent on the segmentation loss, each sample with the sequences it was left."""
        yield {"main": {"segmentation": cross_entropy_dice(self(batch.view.images).logits, batch.labels)}}

    def predict(self, view: View) -> Tensor:
        """Scores `[B,C,D,H,W]` from whatever is available."""
        return self.target.activate(self(view.images).logits)
