"""RIRN's discriminator."""

from __future__ import annotations

from torch import Tensor, nn

from limbeck.networks.relation import no_autocast


class Critic(nn.Module):
    """A fully convolutional critic of two layers (RIRN, papers.md 3.2): whose probabilities are these?

    Two `4x4x4` convolutions with stride 2, LeakyReLU between them. Each of its logits sees ten voxels a side. In the
    precision of its weights, whatever autocast says: bf16 knows nothing between .996 and 1.
    """

    def __init__(self, in_channels: int, width: int = 64) -> None:
        """Make a critic of `in_channels` probability maps."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(in_channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv3d(width, 1, 4, stride=2, padding=1),
        )

    def forward(self, probabilities: Tensor) -> Tensor:
        """Probabilities `[B,in,D,H,W]` to logits `[B,1,D/4,H/4,W/4]`."""
        with no_autocast(probabilities.device.type):
            logits: Tensor = self.layers(probabilities.to(next(self.parameters()).dtype))
        return logits
