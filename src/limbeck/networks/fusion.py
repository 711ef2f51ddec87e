"""MTCM-KD's fusion of its teachers' features."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from limbeck.networks.gate import ChannelGate


class Fusion(nn.Module):
    """CDSFL (MTCM-KD, papers.md 4.2): what several teachers say together, from a decoder level of each.

    For each teacher a channel gate and a `1x1x1` convolution to the classes; their sum; a `1x1x1` convolution from
    classes to classes. The figure draws a nonlinearity after the sum, the authors' code has none, and neither has this.
    """

    def __init__(self, channels: int, classes: int, teachers: int) -> None:
        """Make a fusion of the features, of `channels`, of so many teachers."""
        super().__init__()
        self.readers = nn.ModuleList(
            nn.Sequential(ChannelGate(channels), nn.Conv3d(channels, classes, 1)) for _ in range(teachers)
        )
        self.head = nn.Conv3d(classes, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """As many features `[B,C,*]` as teachers, in their order, to logits `[B,K,*]`."""
        heard = [reader(level) for reader, level in zip(self.readers, features, strict=True)]
        logits: Tensor = self.head(sum(heard))
        return logits
