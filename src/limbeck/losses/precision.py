"""Losses are computed in float32 at least, whatever autocast says around them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """A loss whose floating-point tensors are float32 or wider, computed without autocast.

    Cosines, logarithms and relation matrices lose their small differences in half precision, and autocast would
    compute a matrix product in it even when both factors are float32.
    """

    @wraps(loss)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        wide: Any = [_widen(value) for value in args]
        named: Any = {name: _widen(value) for name, value in kwargs.items()}
        with torch.autocast(_device_type([*args, *kwargs.values()]), enabled=False):
            return loss(*wide, **named)

    return computed


def _widen(value: object) -> object:
    """A tensor, or a list of them, in float32 or wider; integers, booleans and everything else as they are."""
    if isinstance(value, Tensor):
        return value.to(torch.promote_types(value.dtype, torch.float32)) if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return [_widen(item) for item in value]
    return value


def _device_type(values: list[object]) -> str:
    """Where the first tensor lies."""
    for value in values:
        if isinstance(value, Tensor):
            return value.device.type
        if isinstance(value, list | tuple) and value:
            return _device_type(list(value))
    return "cpu"
