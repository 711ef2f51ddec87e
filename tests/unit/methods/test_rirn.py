"""RIRN's own promises: what each side learns from, where relations are counted, and a critic that plays fair."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy import batch, crop, make
from unit.losses.whole_matrices import plain_distance
from unit.methods.yielded import changed, descend, frozen_copy, terms, values

from limbeck.anatomy import Subset
from limbeck.losses import class_relation, critic_loss, fool_loss, region_dice
from limbeck.methods import build, find
from limbeck.methods.base import Context, Method
from limbeck.target import regions
from limbeck.training.optimise import Optimisers, OptimiserSettings

FAST = OptimiserSettings(learning_rate=1e-2, weight_decay=0.0)


class Told(nn.Module):
    """A head that says what it was told, whatever the features."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, features: Tensor) -> Tensor:
        return self.logits.expand(len(features), -1, *features.shape[2:])


def with_teacher_saying(logits: Tensor, **settings: Any) -> Method[Any]:
    method = make("rirn", **settings)
    method.teacher.network.head = Told(logits)
    return method


def relation_under(method: Method[Any], masks: Tensor, aggregation: str = "mean") -> float:
    """CRR by the loss itself, of the last decoded features under the masks given."""
    data = batch(method.context.subsets)
    student, teacher = method.student(data.complete[:, :1])[0], method.teacher(data.complete)[0]
    found = class_relation(student.decoded[-1], teacher.decoded[-1], masks, aggregation)  # type: ignore[arg-type]
    return float(found.mean().detach())


@pytest.mark.parametrize("car_norm", ["paper", "entries", "rows"])
@pytest.mark.parametrize("aggregation", ["mean", "max", "min", "mid"])
def test_every_term_is_its_loss_at_weight_one(aggregation: str, car_norm: str) -> None:
    """Eq. 1 to 9, with the relation between positions from whole matrices."""
    method = make("rirn", crr_aggregation=aggregation, car_norm=car_norm).train()
    data = batch(method.context.subsets)
    student, queries, keys = method.student(data.complete[:, :1])
    teacher, teacher_queries, teacher_keys = method.teacher(data.complete)
    truth = regions(data.labels)
    masks = truth * (teacher.logits > 0)
    relations = queries, keys, teacher_queries, teacher_keys
    probabilities = student.logits.sigmoid(), teacher.logits.sigmoid()
    expected = {
        "segmentation": region_dice(student.logits, truth),
        "class_relation": class_relation(student.decoded[-1], teacher.decoded[-1], masks, aggregation).mean(),  # type: ignore[arg-type]
        "position_relation": plain_distance(*relations, 64, car_norm),
        "fool": fool_loss(method.critic(probabilities[0])),
        "teacher_segmentation": region_dice(teacher.logits, truth),
        "tell_apart": critic_loss(method.critic(probabilities[1]), method.critic(probabilities[0])),
    }
    assert student.encoded[-1].shape[1] == 64
    assert values(method, data) == pytest.approx({k: float(v.detach()) for k, v in expected.items()}, rel=1e-4)


def test_the_printed_form_of_the_game_is_the_students_logarithm() -> None:
    method = make("rirn", adv_form="saturating").train()
    data = batch(method.context.subsets)
    verdict = method.critic(method.student(data.complete[:, :1])[0].logits.sigmoid())
    assert values(method, data)["fool"] == pytest.approx(float(verdict.sigmoid().log().mean().detach()), rel=1e-5)


def test_relations_count_only_the_voxels_that_the_teacher_has_right() -> None:
    """Right in the front half alone, and wrong outside the tumour, which must not count either."""
    said = torch.full((1, 3, 16, 16, 16), -10.0)
    said[:, :, :8] = 10.0
    truth = regions(batch(make("rirn").context.subsets).labels)
    front = truth.clone()
    front[:, :, 8:] = 0
    method = with_teacher_saying(said)
    found = values(method, batch(method.context.subsets))["class_relation"]
    assert found == pytest.approx(relation_under(method, front), rel=1e-6)
    assert found != pytest.approx(relation_under(method, truth), rel=1e-3)
    unfiltered = with_teacher_saying(said, manual_filter=False)
    found = values(unfiltered, batch(method.context.subsets))["class_relation"]
    assert found == pytest.approx(relation_under(unfiltered, truth), rel=1e-6)


@pytest.mark.parametrize(("known", "pairs"), [((), 0), ((0,), 0), ((0, 2), 2), ((0, 1, 2), 6)])
def test_pairs_with_a_region_that_the_teacher_has_wrong_throughout_are_left_out(
    known: tuple[int, ...], pairs: int
) -> None:
    said = torch.full((1, 3, 1, 1, 1), -10.0)
    said[:, list(known)] = 10.0
    method = with_teacher_saying(said)
    data = batch(method.context.subsets)
    masks = regions(data.labels)
    masks[:, [region for region in range(3) if region not in known]] = 0
    found = values(method, data)["class_relation"]
    assert found == pytest.approx(relation_under(method, masks), rel=1e-6)
    assert (found > 0) is (pairs > 0)


def test_a_crop_without_tumour_has_no_class_relation() -> None:
    method = make("rirn", manual_filter=False)
    data = batch(method.context.subsets)
    found = terms(method, dataclasses.replace(data, labels=torch.zeros_like(data.labels)))["class_relation"]
    assert float(found.detach()) == 0.0
    assert found.requires_grad


def test_the_teacher_has_a_gradient_from_its_own_dice_alone() -> None:
    method = make("rirn")
    data = batch(method.context.subsets)
    teacher = list(method.teacher.parameters())
    student = list(method.student.parameters())
    for name, term in terms(method, data).items():
        of_teacher, of_student = (
            torch.autograd.grad(term, side, retain_graph=True, allow_unused=True) for side in (teacher, student)
        )
        assert any(g is not None for g in of_teacher) is (name == "teacher_segmentation"), name
        assert any(g is not None for g in of_student) is (name not in ("teacher_segmentation", "tell_apart")), name


def test_a_step_of_one_side_leaves_the_other_as_it_was() -> None:
    method = make("rirn")
    data = batch(method.context.subsets)
    optimisers = Optimisers(method, FAST)
    sides = {"main": method.student, "teacher": method.teacher, "critic": method.critic}
    for group, moved in sides.items():
        before = {name: frozen_copy(side) for name, side in sides.items()}
        descend(method, optimisers, data, only=(group,))
        assert changed(moved, before[group])
        for other, side in sides.items():
            if other != group:
                assert not changed(side, before[other]), f"{other} moved with {group}"


def test_each_side_steps_as_if_it_stepped_alone() -> None:
    """All three descend from one forward pass: no gradient of one leaks into another's step."""
    together = make("rirn")
    data = batch(together.context.subsets)
    descend(together, Optimisers(together, FAST), data)
    for group, part in (("main", "student"), ("teacher", "teacher"), ("critic", "critic")):
        alone = make("rirn")
        descend(alone, Optimisers(alone, FAST), data, only=(group,))
        expected = getattr(together, part).state_dict()
        assert not changed(getattr(alone, part), expected), group


def test_the_critics_optimiser_is_made_once_and_keeps_its_moments() -> None:
    """ACN's code makes it anew in every iteration, which discards Adam's state."""
    method = make("rirn")
    data = batch(method.context.subsets)
    optimisers = Optimisers(method, FAST)
    critic = optimisers.by_group["critic"]
    descend(method, optimisers, data)
    first = critic.state[method.critic.layers[0].weight]["exp_avg"].clone()
    descend(method, optimisers, data)
    assert optimisers.by_group["critic"] is critic
    states = [critic.state[parameter] for parameter in method.critic.parameters()]
    assert [int(state["step"]) for state in states] == [2] * len(states)
    assert critic.param_groups[0]["betas"] == (0.9, 0.99)
    assert optimisers.by_group["main"].param_groups[0]["betas"] == (0.9, 0.999)
    # The moment is a running mean: nine tenths of the first step's are still in it.
    weight = method.critic.layers[0].weight
    torch.testing.assert_close(critic.state[weight]["exp_avg"], 0.9 * first + 0.1 * weight.grad)


def test_relations_are_full_precision_under_autocast() -> None:
    method = make("rirn")
    # At 16 the bottleneck has depth 2, at which oneDNN 3 reads memory that nobody wrote for a gradient in bf16.
    data = crop(batch(method.context.subsets, size=32), (32, 16, 16))
    with torch.autocast("cpu", torch.bfloat16):
        queries = method.student(data.complete[:, :1])[1]
        found = terms(method, data)
    assert queries.dtype == torch.bfloat16, "autocast is on"
    plain = values(method, data)
    for name, term in found.items():
        assert term.dtype == torch.float32, name
        assert float(term.detach()) == pytest.approx(plain[name], rel=0.1), name
    total = torch.stack(list(found.values())).sum()
    gradients = torch.autograd.grad(total, list(method.parameters()), allow_unused=True)
    assert all(bool(torch.isfinite(g).all()) for g in gradients if g is not None)


def test_the_relation_takes_part_in_the_forward_pass_only_if_asked_to() -> None:
    for inside in (True, False):
        method = make("rirn", car_in_forward=inside).eval()
        view = batch(method.context.subsets).view
        with torch.no_grad():
            before = method.predict(view)
            for parameter in method.student.relation.parameters():
                parameter.add_(1.0)
            assert torch.equal(before, method.predict(view)) is not inside


def test_a_student_of_all_sequences_that_is_its_teacher_has_no_relation_to_learn() -> None:
    """Published: plain co-training. Equal weights give equal relations, and the other terms stay."""
    whole = Context((Subset.parse("all"),))
    method = build("rirn", find("rirn").Settings(width=8), whole)
    method.student.load_state_dict(method.teacher.state_dict())
    found = values(method, batch(whole.subsets))
    assert found["class_relation"] == pytest.approx(0.0, abs=1e-6)
    assert found["position_relation"] == pytest.approx(0.0, abs=1e-9)
    assert found["segmentation"] == found["teacher_segmentation"] > 0
