"""Each method on the network of its paper, and what a prediction may depend on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toy import batch, crop, make
from unit.methods.yielded import terms

from limbeck.methods import METHODS
from limbeck.methods.base import Method
from limbeck.networks import NETWORKS
from limbeck.networks.network import Network

# Method -> its paper's network.
PUBLISHED = {
    "gkd": "unet",
    "pkdr_teacher": "vnet",
    "pkdr": "vnet",
    "rirn": "unet",
    "mtcmkd": "resunet",
    "choi": "nnunet",
}
# The smallest crops that say something: at stride 16 patches with and without tumour; at stride 32 two positions.
CROPS = {"unet": (16, 16, 16), "resunet": (16, 16, 16), "vnet": (32, 32, 32), "nnunet": (32, 32, 64)}

# What predicts; all else is there to teach.
STUDENTS = {
    "supervised": "network.",
    "dropout": "network.",
    "gkd": "student.",
    "pkdr_teacher": "network.",
    "pkdr": "student.",
    "rirn": "student.",
    "mtcmkd": "student.",
    "choi": "student.network.",
    "limbeck": "student.",
}


@pytest.mark.parametrize(("name", "network"), PUBLISHED.items())
def test_a_method_learns_and_predicts_on_its_papers_network(name: str, network: str) -> None:
    size = CROPS[network]
    method = make(name, network=network)
    data = crop(batch(method.context.subsets, size=max(size)), size)
    found = terms(method, data)
    assert all(bool(torch.isfinite(term)) for term in found.values())
    torch.stack(list(found.values())).sum().backward()
    untaught = [key for key, value in method.named_parameters() if value.grad is None]
    assert not untaught
    assert all(bool(torch.isfinite(value.grad).all()) for value in method.parameters() if value.grad is not None)

    with torch.inference_mode():
        scores = method.eval().predict(data.view)
    assert scores.shape == (2, method.target.channels, *size)
    assert scores.min() >= 0
    assert scores.max() <= 1


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("network", CROPS)
def test_a_student_and_its_teachers_have_the_network_that_was_asked_for(name: str, network: str) -> None:
    """Features are compared level by level, so both sides have to be of one kind."""
    kinds = {type(module) for module in networks_in(make(name, network=network))}
    assert kinds == {NETWORKS[network]}


def networks_in(method: Method[Any]) -> list[Network]:
    every = [module for part in (method, *method.frozen.values()) for module in part.modules()]
    return [module for module in every if isinstance(module, Network)]


@pytest.mark.parametrize("name", METHODS)
def test_prediction_depends_on_the_student_alone(name: str) -> None:
    """Teachers, critic, heads, projectors and state over epochs may all be noise."""
    method = make(name).eval()
    view = batch(method.context.subsets).view
    with torch.no_grad():
        before = method.predict(view)
        beside = {key: value for key, value in method.state_dict().items() if not key.startswith(STUDENTS[name])}
        for value in beside.values():
            value.copy_(torch.randn(value.shape).to(value.dtype))
        for teacher in method.frozen.values():
            for value in teacher.state_dict().values():
                value.copy_(torch.randn(value.shape).to(value.dtype))
        assert torch.equal(method.predict(view), before)
        # And it does depend on the student.
        next(value for key, value in method.state_dict().items() if key.startswith(STUDENTS[name])).add_(1.0)
        assert not torch.equal(method.predict(view), before)


def test_the_published_network_is_stated_for_every_method_with_a_paper() -> None:
    assert set(PUBLISHED) == {name for name, entry in METHODS.items() if "no paper" not in entry.paper}
    assert set(STUDENTS) == set(METHODS)
