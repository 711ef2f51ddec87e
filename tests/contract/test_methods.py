"""What every method promises, tested on every method of the list."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import PROGRESS, SIZE, batch, labels, make, subsets_of

from limbeck.anatomy import Subset
from limbeck.batch import Batch, View
from limbeck.methods import METHODS
from limbeck.methods.base import Method
from limbeck.methods.saved import Card, load_card, load_method, save
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import Job, TrainingSettings, fabric_for, train

FAST = OptimiserSettings(learning_rate=2e-3, weight_decay=0.0, schedule="constant")
TRAINING = TrainingSettings(
    steps=6, epoch_steps=2, validate_every=0, save_every=3, log_every=1, precision="float32", device="cpu"
)

pytestmark = pytest.mark.parametrize("name", METHODS)


def objectives(method: Method[Any], data: Batch) -> list[dict[str, dict[str, torch.Tensor]]]:
    return list(method.training_step(data, PROGRESS))


def segmentation(method: Method[Any], data: Batch) -> torch.Tensor:
    """The student's own term; a teacher may have descended before it."""
    torch.manual_seed(1)
    (groups,) = [groups["main"] for groups in objectives(method, data) if "main" in groups]
    return groups["segmentation"]


def step(method: Method[Any], optimisers: Optimisers, data: Batch) -> float:
    fabric = fabric_for(TRAINING)
    total = 0.0
    for yielded in method.train().training_step(data, PROGRESS):
        total += sum(float(term.detach()) for terms in yielded.values() for term in terms.values())
        optimisers.descend(fabric, yielded)
    return total


def job(folder: Path, method: Method[Any], name: str, seeds: int = 1000) -> Job:
    card = Card(name, vars(method.settings), method.context.subsets, method.target, 2.0, (SIZE,) * 3)

    def batches(start: int) -> Iterator[Batch]:
        for index in range(start, TRAINING.steps):
            yield batch(method.context.subsets, seed=index % seeds)

    return Job(folder, card, batches, lambda trained: 0.5, lambda done, loss: None)


def test_groups_cover_exactly_what_can_learn(name: str) -> None:
    method = make(name)
    grouped = [id(parameter) for group in method.parameter_groups().values() for parameter in group]
    assert len(grouped) == len(set(grouped)), "a parameter stands in two groups"
    assert set(grouped) == {id(parameter) for parameter in method.parameters() if parameter.requires_grad}


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


def test_no_term_of_the_student_reaches_a_teacher(name: str) -> None:
    """Descents are restricted to their groups, and still every use of a teacher's tensor has to be a constant."""
    method = make(name).train()
    teachers = [p for group, ps in method.parameter_groups().items() if group.startswith("teacher") for p in ps]
    teachers += [p for teacher in method.frozen.values() for p in teacher.requires_grad_().parameters()]
    for groups in objectives(method, batch(method.context.subsets)):
        for term, value in groups.get("main", {}).items():
            reached = torch.autograd.grad(value, teachers, retain_graph=True, allow_unused=True) if teachers else ()
            assert all(gradient is None for gradient in reached), term


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


def test_no_parameter_is_dead(name: str) -> None:
    method = make(name)
    optimisers = Optimisers(method, FAST)
    before = {key: value.detach().clone() for key, value in method.named_parameters()}
    for index in range(3):
        step(method, optimisers, batch(method.context.subsets, seed=index))
    unmoved = [key for key, value in method.named_parameters() if torch.equal(value, before[key])]
    assert not unmoved


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


def test_a_specialist_reads_nothing_beside_its_subset(name: str) -> None:
    """Even a view that was not cleaned must not leak: the specialist takes its own channels only."""
    method = make(name).eval()
    if method.generalist:
        assert method.context.subsets == Subset.every()
        return
    data = batch(method.context.subsets)
    dirty = View(
        data.complete + 5 * ~data.view.available[:, :, None, None, None], data.view.available, data.view.origin
    )
    with torch.inference_mode():
        assert torch.equal(method.predict(data.view), method.predict(dirty))


def test_students_logits_do_not_depend_on_privilege(name: str) -> None:
    """Changing what only the teacher sees may change its terms, but not the segmentation loss."""
    method = make(name).train()
    data = batch(method.context.subsets)
    shown = View.of(data.complete, data.view.available).images
    other = torch.where(data.view.available[:, :, None, None, None], shown, torch.randn_like(shown))
    changed = Batch(data.view, other, data.present, data.labels, data.case_ids)
    first, second = (segmentation(method, shown) for shown in (data, changed))
    assert torch.equal(first, second)


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


def test_teachers_stay_frozen_and_unsaved(name: str) -> None:
    method = make(name)
    assert method.frozen.keys() == method.needs.keys()
    before = {role: copy.deepcopy(teacher.state_dict()) for role, teacher in method.frozen.items()}
    step(method, Optimisers(method, FAST), batch(method.context.subsets))
    for role, teacher in method.frozen.items():
        assert not teacher.training
        assert not any(parameter.requires_grad for parameter in teacher.parameters())
        assert all(parameter.grad is None for parameter in teacher.parameters())
        for key, value in teacher.state_dict().items():
            assert torch.equal(value, before[role][key])
    own = {id(parameter) for parameter in method.parameters()}
    assert not any(id(p) in own for teacher in method.frozen.values() for p in teacher.parameters())
    assert not any("frozen" in key for key in method.state_dict())
    if method.frozen:
        assert not any("teacher" in key for key in method.state_dict())


def test_teachers_move_along(name: str) -> None:
    method = make(name).to(torch.float64)
    for teacher in method.frozen.values():
        assert all(parameter.dtype == torch.float64 for parameter in teacher.parameters())


def test_prediction_needs_no_teacher(name: str, tmp_path: Path) -> None:
    method = make(name).eval()
    card = Card(name, vars(method.settings), method.context.subsets, method.target, 2.0, (SIZE,) * 3)
    save(tmp_path, method, card)
    again = load_method(tmp_path, load_card(tmp_path)).eval()
    assert again.frozen == {}
    view = batch(method.context.subsets).view
    with torch.inference_mode():
        assert torch.equal(method.predict(view), again.predict(view))


def test_training_is_reproducible(name: str) -> None:
    results = []
    for _ in range(2):
        method = make(name)
        optimisers = Optimisers(method, FAST)
        results.append([step(method, optimisers, batch(method.context.subsets, seed=index)) for index in range(3)])
    assert results[0] == results[1]


def test_resuming_equals_never_having_stopped(name: str, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, loss: float) -> None:
        if done == 5:  # two steps after the checkpoint of step 3
            raise Stopped

    whole = make(name, dropout=0.2)
    train(whole, job(tmp_path / "whole", whole, name), TRAINING, FAST, fabric_for(TRAINING))

    broken = make(name, dropout=0.2)
    first = job(tmp_path / "broken", broken, name)
    with pytest.raises(Stopped):
        train(
            broken,
            Job(first.folder, first.card, first.batches, first.validate, stop),
            TRAINING,
            FAST,
            fabric_for(TRAINING),
        )
    torch.manual_seed(1234)  # a fresh process has another random state
    resumed = make(name, seed=5, dropout=0.2)
    train(resumed, job(tmp_path / "broken", resumed, name), TRAINING, FAST, fabric_for(TRAINING))

    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key

    def without_times(folder: str) -> list[str]:
        return [line for line in (tmp_path / folder / "log.csv").read_text().splitlines() if ",seconds," not in line]

    assert without_times("whole") == without_times("broken")


def test_overfits_a_patient(name: str) -> None:
    method = make(name)
    optimisers = Optimisers(method, FAST)
    data = batch(method.context.subsets)
    for _ in range(60):
        step(method, optimisers, data)
    with torch.inference_mode():
        found = method.target.decode(method.eval().predict(data.view))
    assert (found == labels()).float().mean() > 0.97


def test_docstring_can_be_read_against_the_paper(name: str) -> None:
    text = importlib.import_module(f"limbeck.methods.{name}").__doc__ or ""
    for section in ("**Paper.**", "**Idea.**", "**Equations.**", "**Departures.**", "**Weights.**"):
        assert section in text
