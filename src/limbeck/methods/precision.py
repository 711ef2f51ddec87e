"""Device and number format for training and prediction alike: bf16 where the hardware computes in it."""

from __future__ import annotations

from typing import Literal

import torch

from limbeck.errors import UsageError

Precision = Literal["auto", "bf16", "float32"]


def pick_device(name: str = "auto") -> torch.device:
    """The device of a name: `auto` is the GPU when there is one, else the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        here = "auto, cpu or cuda" if torch.cuda.is_available() else "auto or cpu, since there is no GPU"
        raise UsageError(f"device {name!r} is not available here: expected {here}") from error
    return device


def uses_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether networks run under bf16 autocast; emulated bf16 is slower than float32, so `auto` avoids it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
