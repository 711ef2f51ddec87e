"""Small heads that a method puts on a network's features; none of them is needed to predict."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from limbeck.networks.batchnorm import BatchNorm


class PatchHead(nn.Module):
    """PKDR's patch selection (papers.md 2.2): which regions each patch contains, from the encoder's coarsest level.

    A `3x3x3` convolution to half the channels, batch normalisation, ReLU and a `1x1x1` convolution. The paper gives no
    layers; these are the specification's.
    """

    def __init__(self, channels: int, regions: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(channels, channels // 2, 3, padding=1, bias=False),
            BatchNorm(channels // 2),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels // 2, regions, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features `[B,C,*]` to logits `[B,R,*]`, one for each patch and region."""
        logits: Tensor = self.layers(features)
        return logits


class Projector(nn.Module):
    """PKDR's projector (papers.md 2.2): features to the embeddings that are compared, `C -> C -> C/2`.

    Two `1x1x1` convolutions with ReLU between them: 256 to 128 channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(channels, channels, 1), nn.ReLU(inplace=True), nn.Conv3d(channels, channels // 2, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features `[B,C,*]` to embeddings `[B,C/2,*]`."""
        embeddings: Tensor = self.layers(features)
        return embeddings


class DeepHeads(nn.Module):
    """Deep supervision (papers.md 4.2, 5.2): a `1x1x1` convolution to logits for each of several levels."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        """Make a head for each of the widths, in the order in which the features will come."""
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in widths)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """As many features `[B,C,*]` as widths, each to logits `[B,K,*]` at its own size."""
        return [head(level) for head, level in zip(self.heads, features, strict=True)]
