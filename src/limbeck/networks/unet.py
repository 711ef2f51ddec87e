"""The residual U-Net that GKD and RIRN share."""

from __future__ import annotations

from torch import Tensor, nn

from limbeck.networks.blocks import GROUPS, ResidualBlock, Upsampling, channels_last
from limbeck.networks.network import Network, Output

DEPTHS = (1, 2, 2, 4)  # residual blocks of each encoder level
VECTOR = 16  # channels that oneDNN convolves at once


class UNet(Network):
    """The residual U-Net of ACN (Wang et al., 2021; papers.md 0.2), which GKD and RIRN share.

    With width `w` the encoder gives c1 `[B,w,D,H,W]`, c2 `[B,2w,D/2,H/2,W/2]`, c3 `[B,4w,D/4,..]` and c4
    `[B,8w,D/8,..]`; the decoder gives `4w`, `2w` and at last `w` channels, u2 `[B,w,D,H,W]`. Skips are added.

    Width 16 is the paper's: 4.70 million parameters, 272 billion multiply-accumulates on `160x192x128`.

    Attributes:
        channels_last: whether features lie with channels last on a CPU; of no consequence but for time.
    """

    stride = 8
    multiple = GROUPS

    def __init__(self, in_channels: int, out_channels: int, width: int = 16, dropout: float = 0.0) -> None:
        """Make the network; the arguments are `Network`'s, the width a multiple of 8.

        RIRN's text puts a dropout of 0.2 after the first convolution; the code of ACN puts an element-wise 0.2 on c4
        instead. The default leaves it out, since at small widths whole lost channels are a heavy penalty.
        """
        super().__init__(in_channels, out_channels, width, dropout)
        self.widths = (width, 2 * width, 4 * width, 8 * width)
        # On a CPU, convolutions in blocks of 16 channels waste half of the work at width 8, and channels last do not:
        # two crops of 64^3 in bfloat16 take 0.38 s forward and back on one core instead of 0.68 s. At width 16 the
        # blocks are full, and the copies would cost more than they save (0.82 s instead of 0.77 s).
        self.channels_last = width % VECTOR != 0
        self.stem = nn.Conv3d(in_channels, width, 3, padding=1)
        self.downsampling = nn.ModuleList(
            nn.Conv3d(fine, 2 * fine, 3, stride=2, padding=1) for fine in self.widths[:-1]
        )
        self.encoder = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(channels) for _ in range(depth)))
            for channels, depth in zip(self.widths, DEPTHS, strict=True)
        )
        self.upsampling = nn.ModuleList(Upsampling(coarse) for coarse in self.widths[:0:-1])
        self.decoder = nn.ModuleList(ResidualBlock(fine) for fine in self.widths[-2::-1])
        self.head = nn.Conv3d(width, out_channels, 1)

    def _encode(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.dropout(self.stem(images))
        if self.channels_last and features.device.type == "cpu":
            # After the first convolution, since the layout of a single channel says nothing.
            features = channels_last(features)
        encoded = [self.encoder[0](features)]
        for down, level in zip(self.downsampling, list(self.encoder)[1:], strict=True):
            encoded.append(level(down(encoded[-1])))
        return tuple(encoded)

    def decode(self, encoded: tuple[Tensor, ...]) -> Output:
        """c1 to c4 to logits; the last decoded features are u2."""
        decoded: list[Tensor] = []
        features = encoded[-1]
        for up, block, skip in zip(self.upsampling, self.decoder, encoded[-2::-1], strict=True):
            features = block(up(features, skip))
            decoded.append(features)
        return Output(self.head(features), tuple(encoded), tuple(decoded))
