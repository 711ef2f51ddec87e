"""Statistics over a window of real size come out as torch has them, though ONNX Runtime adds without care."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.anatomy import Subset
from limbeck.batch import View
from limbeck.export.agreement import compare
from limbeck.export.graph import to_onnx
from limbeck.methods.base import Context, Method, NetworkSettings

for extra in ("onnx", "onnxruntime", "onnxscript"):
    # Looked for and not imported, since ONNX Runtime has to be silenced first.
    if importlib.util.find_spec(extra) is None:
        pytest.skip("the extra [onnx] is not installed", allow_module_level=True)

PATCH = (64, 64, 64)


class Layered(Method[NetworkSettings]):
    """A layer, by itself, on a sequence and its square: far from a mean of 0, as features are."""

    Settings = NetworkSettings

    def __init__(self, layer: nn.Module) -> None:
        super().__init__(NetworkSettings(), Context((Subset.parse("t1"),)))
        self.layer = layer
        self.eval()

    def training_step(self, batch: Any, progress: Any) -> Any:
        raise NotImplementedError

    def predict(self, view: View) -> Tensor:
        image = view.only(self.context.subset)
        return self.layer(torch.cat([image + 3, image.square()], dim=1)).sigmoid()


class Pooled(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features - 100 * (features.mean((2, 3, 4))[:, :, None, None, None] - 3) + features.mean(-1, keepdim=True)


def affine(norm: nn.GroupNorm | nn.InstanceNorm3d) -> nn.Module:
    nn.init.constant_(norm.weight, 2.0)
    nn.init.constant_(norm.bias, -0.5)
    return norm


@pytest.mark.parametrize(
    "layer",
    [
        affine(nn.GroupNorm(1, 2)),
        nn.GroupNorm(2, 2, affine=False),
        affine(nn.InstanceNorm3d(2, affine=True)),
        nn.InstanceNorm3d(2),
        Pooled(),
    ],
    ids=["group", "group without weights", "instance", "instance without weights", "mean"],
)
def test_a_window_of_64_agrees_to_a_part_in_300_000(layer: nn.Module) -> None:
    method = Layered(layer)
    assert compare(to_onnx(method, {}), method, PATCH).largest_difference < 3e-6
