"""Means over a window, an axis at a time: what torch is to translate otherwise than it does by itself.

ONNX Runtime adds all voxels of a group one after the other in float32. Of a window of 96^3 the statistics of a group
normalisation then are off by some thousandths, and scores by more than half a thousandth; torch adds in pieces and is a
thousand times nearer to the truth. Means along one axis, and means of these, are sums of short pieces too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

# The last first, where neighbours in memory lie.
_SPACE = (4, 3, 2)


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Operators of torch and what stands for them in the graph, for `torch.onnx.export`."""
    aten = torch.ops.aten
    return {
        aten.group_norm.default: _group_norm,
        aten.instance_norm.default: _instance_norm,
        aten.mean.dim: _mean,
    }


def _group_norm(
    features: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Any:
    """`aten::group_norm` of `[B,C,D,H,W]`."""
    del cudnn_enabled
    op = _operators()
    # [B, G, C/G * D, H, W]: 0 is a size that stays, -1 what is left.
    groups = op.Concat(op.Constant(value_ints=[0, num_groups, -1]), op.Shape(features, start=3), axis=0)
    normalised = _normalised(op.Reshape(features, groups), eps)
    return _affine(op.Reshape(normalised, op.Shape(features)), weight, bias)


def _instance_norm(
    features: Any,
    weight: Any = None,
    bias: Any = None,
    running_mean: Any = None,
    running_var: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn_enabled: bool = False,
) -> Any:
    """`aten::instance_norm` of `[B,C,D,H,W]` by its own statistics, the only kind that a network here has."""
    del running_mean, running_var, momentum, cudnn_enabled
    assert use_input_stats, "an instance normalisation with running statistics has no translation"
    return _affine(_normalised(features, eps), weight, bias)


def _mean(features: Any, dim: list[int], keepdim: bool = False, dtype: int = -1) -> Any:
    """`aten::mean.dim`, from the last axis to the first, so that the others keep their numbers."""
    assert dtype in (-1, None), "a mean in another type has no translation"
    rank = len(features.shape)
    return _mean_along(features, sorted((number % rank for number in dim), reverse=True), keepdim)


def _normalised(features: Any, eps: float) -> Any:
    """`[B,G,*]` with three axes more, to zero mean and unit variance over these."""
    op = _operators()
    centred = op.Sub(features, _mean_along(features, _SPACE, keepdim=True))
    variance = _mean_along(op.Mul(centred, centred), _SPACE, keepdim=True)
    return op.Div(centred, op.Sqrt(op.Add(variance, op.Constant(value_float=eps))))


def _affine(features: Any, weight: Any, bias: Any) -> Any:
    """Features `[B,C,D,H,W]` times a weight `[C]` and plus a bias `[C]`, where there are any."""
    op = _operators()
    channelwise = op.Constant(value_ints=[-1, 1, 1, 1])
    scaled = features if weight is None else op.Mul(features, op.Reshape(weight, channelwise))
    return scaled if bias is None else op.Add(scaled, op.Reshape(bias, channelwise))


def _mean_along(features: Any, axes: Sequence[int], keepdim: bool) -> Any:
    op = _operators()
    for axis in axes:
        features = op.ReduceMean(features, op.Constant(value_ints=[axis]), keepdims=int(keepdim))
    return features


def _operators() -> Any:
    from onnxscript import opset18  # noqa: PLC0415 - an extra

    return opset18
