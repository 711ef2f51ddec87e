"""Convolutions of one window at a time by the same kernels as those of several.

torch gives a float32 convolution of a single small sample to a plain loop instead of oneDNN's kernels, whatever the
machine has. A window comes alone, so that its scores hang on no other's, and narrow networks are small at every level:
without this their windows take two to three times as long in float32 (`python benchmarks/lone_windows.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def by_blocks(device: torch.device, bf16: bool) -> AbstractContextManager[Any]:
    """Within it, float32 convolutions on a CPU go to oneDNN; elsewhere and in bf16 torch chooses well by itself."""
    applies = device.type == "cpu" and not bf16 and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return _Blocks() if applies else nullcontext()


class _Blocks(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if func is torch.conv3d and not kwargs and len(args) == 7 and _suits(*args):
            images, weight, bias, stride, padding, dilation, groups = args
            return torch.mkldnn_convolution(images, weight, bias, padding, stride, dilation, groups)
        return func(*args, **(kwargs or {}))


def _suits(images: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, *rest: Any) -> bool:
    """Of one sample of float32 with a kernel that sees neighbours; a plain loop is good for others."""
    del bias, stride, rest
    alone = images.ndim == 5 and images.shape[0] == 1
    return alone and images.dtype == torch.float32 and max(weight.shape[2:]) > 1 and not isinstance(padding, str)
