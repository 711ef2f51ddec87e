"""`--compile`: students' training passes through torch.compile where that works, and as ever where it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from limbeck.methods.base import Method
from limbeck.networks.network import Network, Output

LOG = logging.getLogger(__name__)
# Of a gradient's length: compiled U-Nets in bfloat16 came to 0.02, one whose gradients were half lost to 0.87.
TOLERANCE = 0.2


def compile_students(method: Method[Any], device: torch.device) -> None:
    """Compile the passes of a method's own networks in which gradients flow.

    Validation and frozen teachers stay as they are. Names of weights do not change. Where nothing can be compiled, one
    warning says why.
    """
    if problem := compiler_problem(device.type):
        LOG.warning("--compile: %s: training goes on without it", problem)
        return
    for network in method.modules():
        if isinstance(network, Network):
            # In the object alone: the module stays what it is, with its hooks, its state and its names.
            network.forward = _Pass(network)  # type: ignore[method-assign]


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
    """A network's forward pass: compiled where gradients flow, until that fails or is found to learn something else."""

    def __init__(self, network: Network) -> None:
        self.name = type(network).__name__
        self.network, self.weights = network, list(network.parameters())
        self.eager = network.forward
        # Dropout draws what it draws without compilation.
        self.compiled = torch.compile(network.forward, options={"fallback_random": True})
        self.works, self.checked = True, False

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if not (self.works and torch.is_grad_enabled()):
            return self.eager(*inputs, **named)
        try:
            if not self.checked:
                self._check(*inputs, **named)
            return self.compiled(*inputs, **named)
        except Exception as error:
            # What is wrong with the network or the crops themselves, the ordinary pass says in its own words.
            self.works = False
            LOG.warning("--compile: %s: %s: training goes on without it", self.name, _line(error))
            return self.eager(*inputs, **named)

    def _check(self, *inputs: Any, **named: Any) -> None:
        """Compare both passes' gradients on the first crops: with torch 2.13, some were zero behind right logits.

        Raises:
            RuntimeError: they differ by more than rounding.
        """
        # Asked for now: a network that is moved to a device has other buffers than before.
        state = list(self.network.buffers())
        before = [value.clone() for value in state]
        try:
            plain, built = (self._gradient(way, *inputs, **named) for way in (self.eager, self.compiled))
        finally:
            for value, kept in zip(state, before, strict=True):
                # Running statistics have not seen these crops yet.
                value.copy_(kept)
        share = float((built - plain).norm() / plain.norm().clamp(min=torch.finfo(plain.dtype).tiny))
        # Not below, which a NaN is not either.
        if not share < TOLERANCE:
            raise RuntimeError(f"its compiled gradient differs from the ordinary one by {share:.0%} of it")
        self.checked = True

    def _gradient(self, way: Callable[..., Output], *inputs: Any, **named: Any) -> Tensor:
        """Of the mean squared logit, by all weights in a row; what it draws is drawn again by who comes after."""
        with torch.random.fork_rng():
            loss = way(*inputs, **named).logits.float().square().mean()
        found = torch.autograd.grad(loss, self.weights, allow_unused=True, materialize_grads=True)
        return torch.cat([gradient.flatten().float() for gradient in found])


def _line(error: BaseException) -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
