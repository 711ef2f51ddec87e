"""What every method promises, tested on every method of the list."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import PROGRESS, SIZE, batch, make, subsets_of
from unit.methods.yielded import descend

from limbeck.batch import Batch, View
from limbeck.methods import METHODS, find
from limbeck.methods.base import Method
from limbeck.methods.saved import Card, load_card, load_method, save
from limbeck.training.optimise import Optimisers, OptimiserSettings

FAST = OptimiserSettings(learning_rate=2e-3, weight_decay=0.0, schedule="constant")
# What is promised here holds at any depth.
pytestmark = pytest.mark.usefixtures("shallow_unet")
EACH = pytest.mark.parametrize("name", METHODS)
SPECIALIST = pytest.mark.parametrize("name", [name for name in METHODS if not find(name).generalist])
# By a teacher that is trained before, or beside it.
TAUGHT = [name for name in METHODS if find(name).needs]
# All others have a teacher of the one kind or the other.
ALONE = ("supervised", "dropout", "pkdr_teacher")
WITH_A_TEACHER = pytest.mark.parametrize("name", [name for name in METHODS if name not in ALONE])


def objectives(method: Method[Any], data: Batch) -> list[dict[str, dict[str, torch.Tensor]]]:
    return list(method.training_step(data, PROGRESS))


def segmentation(method: Method[Any], data: Batch) -> torch.Tensor:
    """The student's own term; a teacher may have descended before it."""
    torch.manual_seed(1)
    (groups,) = [groups["main"] for groups in objectives(method, data) if "main" in groups]
    return groups["segmentation"]


@EACH
def test_groups_cover_exactly_what_can_learn(name: str) -> None:
    method = make(name)
    grouped = [id(parameter) for group in method.parameter_groups().values() for parameter in group]
    assert len(grouped) == len(set(grouped)), "a parameter stands in two groups"
    assert set(grouped) == {id(parameter) for parameter in method.parameters() if parameter.requires_grad}


@EACH
def test_objectives_are_finite_named_scalars_of_known_groups(name: str) -> None:
    method = make(name).train()
    yielded = objectives(method, batch(method.context.subsets))
    assert yielded
    for groups in yielded:
        assert groups.keys() <= method.parameter_groups().keys()
        for terms in groups.values():
            assert terms
            for value in terms.values():
                assert value.ndim == 0
                assert torch.isfinite(value)


@EACH
def test_every_term_pulls_on_its_group(name: str) -> None:
    method = make(name).train()
    for groups in objectives(method, batch(method.context.subsets)):
        for group, terms in groups.items():
            for term, value in terms.items():
                gradients = torch.autograd.grad(
                    value, method.parameter_groups()[group], retain_graph=True, allow_unused=True
                )
                pull = sum(float(g.abs().sum()) for g in gradients if g is not None)
                assert pull > 0, f"{term} moves nothing in {group}"


@WITH_A_TEACHER
def test_no_term_of_the_student_reaches_a_teacher(name: str) -> None:
    """Descents are restricted to their groups, and still every use of a teacher's tensor has to be a constant."""
    method = make(name).train()
    teachers = [p for group, ps in method.parameter_groups().items() if group.startswith("teacher") for p in ps]
    teachers += [p for teacher in method.frozen.values() for p in teacher.requires_grad_().parameters()]
    assert teachers
    for groups in objectives(method, batch(method.context.subsets)):
        for term, value in groups.get("main", {}).items():
            reached = torch.autograd.grad(value, teachers, retain_graph=True, allow_unused=True)
            assert all(gradient is None for gradient in reached), term


@EACH
def test_crops_without_tumour_teach_without_harm(name: str) -> None:
    """Empty masks, patches of one kind and absent classes: every term and every gradient stays finite."""
    method = make(name).train()
    data = batch(method.context.subsets)
    empty = Batch(data.view, data.complete, data.present, torch.zeros_like(data.labels), data.case_ids)
    for groups in objectives(method, empty):
        for group, terms in groups.items():
            parameters = method.parameter_groups()[group]
            total = torch.stack(list(terms.values())).sum()
            gradients = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
            assert torch.isfinite(total)
            assert all(bool(torch.isfinite(g).all()) for g in gradients if g is not None)


@EACH
def test_no_parameter_is_dead(name: str) -> None:
    method = make(name)
    optimisers = Optimisers(method, FAST)
    before = {key: value.detach().clone() for key, value in method.named_parameters()}
    for index in range(3):
        descend(method, optimisers, batch(method.context.subsets, seed=index))
    unmoved = [key for key, value in method.named_parameters() if torch.equal(value, before[key])]
    assert not unmoved


@EACH
def test_prediction_is_blind_to_what_is_absent(name: str) -> None:
    method = make(name).eval()
    data = batch(method.context.subsets)
    for subset in subsets_of(name):
        available = torch.tensor([subset.mask()] * 2)
        noise = torch.where(available[:, :, None, None, None], data.complete, torch.nan)
        with torch.inference_mode():
            plain = method.predict(View.of(data.complete, available))
            noisy = method.predict(View.of(noise, available))
        assert torch.equal(plain, noisy)


@SPECIALIST
def test_a_specialist_reads_nothing_beside_its_subset(name: str) -> None:
    """Even a view that was not cleaned must not leak: the specialist takes its own channels only."""
    method = make(name).eval()
    data = batch(method.context.subsets)
    dirty = View(
        data.complete + 5 * ~data.view.available[:, :, None, None, None], data.view.available, data.view.origin
    )
    with torch.inference_mode():
        assert torch.equal(method.predict(data.view), method.predict(dirty))


@EACH
def test_students_logits_do_not_depend_on_privilege(name: str) -> None:
    """Changing what only the teacher sees may change its terms, but not the segmentation loss."""
    method = make(name).train()
    data = batch(method.context.subsets)
    shown = View.of(data.complete, data.view.available).images
    other = torch.where(data.view.available[:, :, None, None, None], shown, torch.randn_like(shown))
    changed = Batch(data.view, other, data.present, data.labels, data.case_ids)
    first, second = (segmentation(method, shown) for shown in (data, changed))
    assert torch.equal(first, second)


@EACH
def test_scores_fit_the_target_and_ignore_the_rest_of_the_batch(name: str) -> None:
    method = make(name).eval()
    data = batch(method.context.subsets)
    with torch.inference_mode():
        both = method.predict(data.view)
        view = View(data.view.images[1:], data.view.available[1:], data.view.origin[1:])
        alone = method.predict(view)
    assert both.shape == (2, method.target.channels, SIZE, SIZE, SIZE)
    assert both.min() >= 0
    assert both.max() <= 1
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TAUGHT)
def test_teachers_stay_frozen_and_unsaved(name: str) -> None:
    method = make(name)
    assert method.frozen.keys() == method.needs.keys() != set()
    before = {role: copy.deepcopy(teacher.state_dict()) for role, teacher in method.frozen.items()}
    descend(method, Optimisers(method, FAST), batch(method.context.subsets))
    for role, teacher in method.frozen.items():
        assert not teacher.training
        assert not any(parameter.requires_grad for parameter in teacher.parameters())
        assert all(parameter.grad is None for parameter in teacher.parameters())
        for key, value in teacher.state_dict().items():
            assert torch.equal(value, before[role][key])
    own = {id(parameter) for parameter in method.parameters()}
    assert not any(id(p) in own for teacher in method.frozen.values() for p in teacher.parameters())
    assert not any("frozen" in key for key in method.state_dict())
    assert not any("teacher" in key for key in method.state_dict())


@pytest.mark.parametrize("name", TAUGHT)
def test_teachers_move_along(name: str) -> None:
    method = make(name).to(torch.float64)
    for teacher in method.frozen.values():
        assert all(parameter.dtype == torch.float64 for parameter in teacher.parameters())


@EACH
def test_prediction_needs_no_teacher(name: str, tmp_path: Path) -> None:
    method = make(name).eval()
    card = Card(name, vars(method.settings), method.context.subsets, method.target, 2.0, (SIZE,) * 3)
    save(tmp_path, method, card)
    again = load_method(tmp_path, load_card(tmp_path)).eval()
    assert again.frozen == {}
    view = batch(method.context.subsets).view
    with torch.inference_mode():
        assert torch.equal(method.predict(view), again.predict(view))


@EACH
def test_docstring_can_be_read_against_the_paper(name: str) -> None:
    text = importlib.import_module(f"limbeck.methods.{name}").__doc__ or ""
    for section in ("**Paper.**", "**Idea.**", "**Equations.**", "**Departures.**", "**Weights.**"):
        assert section in text
