"""`--compile`: students' training passes through torch.compile where that works, and as ever where it does not."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import torch

from limbeck.methods.base import Method
from limbeck.networks.network import Network

LOG = logging.getLogger(__name__)


def compile_students(method: Method[Any], device: torch.device) -> bool:
    """Compile the passes of a method's own networks in which gradients flow; says whether that can be done here.

    Validation and frozen teachers stay as they are. Names of weights do not change. Where nothing can be compiled, one
    warning says why.
    """
    if problem := compiler_problem(device.type):
        LOG.warning("--compile: %s: training goes on without it", problem)
        return False
    for network in method.modules():
        if isinstance(network, Network):
            # In the object alone: the module stays what it is, with its hooks, its state and its names.
            network.forward = _Pass(network)  # type: ignore[method-assign]
    return True


@cache
def compiler_problem(device: str) -> str:
    """Why torch.compile does not work on such a device here, in one line; nothing if it does."""
    try:
        torch.compile(_probe)(torch.zeros(8, device=device))
    except Exception as error:
        return _line(error)
    return ""


def _probe(values: torch.Tensor) -> torch.Tensor:
    return (values * 2 + 1).relu()


class _Pass:
    """A network's forward pass: compiled where gradients flow, until that fails."""

    def __init__(self, network: Network) -> None:
        self.name = type(network).__name__
        self.eager = network.forward
        # Dropout draws what it draws without compilation.
        self.compiled = torch.compile(network.forward, options={"fallback_random": True})
        self.works = True

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if not (self.works and torch.is_grad_enabled()):
            return self.eager(*inputs, **named)
        try:
            return self.compiled(*inputs, **named)
        except Exception as error:
            # What is wrong with the network or the crops themselves, the ordinary pass says in its own words.
            self.works = False
            LOG.warning("--compile: %s: %s: training goes on without it", self.name, _line(error))
            return self.eager(*inputs, **named)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
