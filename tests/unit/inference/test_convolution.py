"""Windows that come alone: oneDNN's kernels where torch would not take them, and the same scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from toy import make

from limbeck.inference.convolution import by_blocks
from limbeck.inference.predictor import Predictor
from limbeck.methods.saved import Card
from limbeck.networks import NETWORKS

CPU = torch.device("cpu")
NEEDED = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What oneDNN is given from here on."""
    given: list[Tensor] = []
    kernel = torch.mkldnn_convolution

    def noted(images: Tensor, *rest: object) -> Tensor:
        given.append(images)
        return kernel(images, *rest)

    monkeypatch.setattr(torch, "mkldnn_convolution", noted)
    return given


@NEEDED
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_says_the_same_and_its_convolutions_go_to_onednn(network: str, blocks: list[Tensor]) -> None:
    torch.manual_seed(0)
    made = NETWORKS[network](2, 3, 8).eval()
    window = torch.randn(1, 2, *[2 * made.stride] * 3)
    with torch.inference_mode():
        plain = made(window).logits
        assert not blocks
        with by_blocks(CPU, bf16=False):
            ours = made(window).logits
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)
    kernels = [layer for layer in made.modules() if isinstance(layer, nn.Conv3d) and layer.kernel_size != (1, 1, 1)]
    assert len(blocks) == len(kernels)


@pytest.mark.parametrize(
    ("images", "layer"),
    [
        (torch.randn(2, 3, 4, 4, 4), nn.Conv3d(3, 2, 3)),
        (torch.randn(1, 3, 4, 4, 4), nn.Conv3d(3, 2, 1)),
        (torch.randn(1, 3, 4, 4, 4).double(), nn.Conv3d(3, 2, 3).double()),
        (torch.randn(3, 4, 4, 4), nn.Conv3d(3, 2, 3)),
        (torch.randn(1, 3, 4, 4, 4), nn.Conv3d(3, 2, 3, padding="same")),
    ],
    ids=["two samples", "a kernel of one voxel", "float64", "no batch", "padding by name"],
)
def test_what_does_not_suit_is_left_to_torch(images: Tensor, layer: nn.Module, blocks: list[Tensor]) -> None:
    with by_blocks(CPU, bf16=False):
        inside = layer(images)
    assert torch.equal(inside, layer(images)) and not blocks


@pytest.mark.parametrize(("device", "bf16"), [(CPU, True), (torch.device("cuda"), False)])
def test_bf16_and_gpus_are_left_to_torch(device: torch.device, bf16: bool, blocks: list[Tensor]) -> None:
    with by_blocks(device, bf16):
        nn.Conv3d(3, 2, 3)(torch.randn(1, 3, 4, 4, 4))
    assert not blocks


@NEEDED
@pytest.mark.parametrize("bf16", [False, True])
def test_predictions_in_float32_take_them(bf16: bool, blocks: list[Tensor]) -> None:
    images = torch.zeros(4, 16, 16, 16)
    images[:, 2:14, 2:14, 2:14] = torch.randn(4, 12, 12, 12)
    method = make("supervised")
    card = Card("supervised", {"width": 8}, method.context.subsets, method.target, 2.0, (16, 16, 16))
    Predictor(method, card, CPU, bf16).scores(images, method.context.subset)
    assert bool(blocks) is not bf16
