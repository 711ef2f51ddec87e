"""Supervised training for a fixed subset.

**Paper.** None: the yardstick. With all four sequences it is the teacher, with fewer the lower bound.

**Idea.** A network whose input channels are the subset's sequences learns from the reference segmentation alone.

**Equations.** Segmentation (GKD 1.3): cross-entropy + soft Dice -> `segmentation` -> `losses.cross_entropy_dice`.

**Departures.** None.

**Weights.** Segmentation 1: cross-entropy, mean over voxels; Dice, mean over the foreground classes.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from limbeck.batch import Batch, View
from limbeck.losses import cross_entropy_dice
from limbeck.methods.base import Context, Method, NetworkSettings, Objectives, Progress
from limbeck.networks.network import Output


class Supervised(Method[NetworkSettings]):
    """A network for one subset, trained on labels alone."""

    Settings = NetworkSettings

    def __init__(self, settings: NetworkSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.network = settings.make(len(context.subset), self.target.channels)

    def forward(self, images: Tensor) -> Output:
        """Logits and features for the subset's own channels `[B,k,D,H,W]`: what a student may learn from."""
        output: Output = self.network(images)
        return output

    def training_step(self, batch: Batch, progress: Progress) -> Iterator[Objectives]:
        """One descent on the segmentation loss."""
        output = self(batch.view.only(self.context.subset))
        yield {"main": {"segmentation": cross_entropy_dice(output.logits, batch.labels)}}

    def predict(self, view: View) -> Tensor:
        """Scores `[B,C,D,H,W]` from the subset's channels."""
        return self.target.activate(self(view.only(self.context.subset)).logits)
