"""CHOI's own promises: the teacher steps first, the student learns from what it gave before, positions are samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from toy import PROGRESS, batch, crop, make
from unit.methods.yielded import changed, frozen_copy, terms, values

from limbeck.losses import barlow_twins, cross_entropy, resize_labels, soft_label_dice, soft_label_divergence
from limbeck.methods.base import Method
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for


def features(method: Method[Any], data: Any) -> tuple[Tensor, Tensor]:
    """The latent features of student and teacher."""
    student, teacher = method.student.network, method.teacher.network
    return student(data.complete[:, :1]).encoded[-1].detach(), teacher(data.complete).encoded[-1].detach()


@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
def test_every_term_is_its_weight_times_its_loss(dice_weight: float) -> None:
    """Deep supervision of both at full and half size with weights 2/3 and 1/3, Barlow twins by channel, soft labels."""
    method = make("choi", dice_weight=dice_weight, soft_label_weight=0.5).train()
    data = batch(method.context.subsets)

    def base(logits: Tensor) -> Tensor:
        labels = resize_labels(data.labels, logits.shape[2:])
        return cross_entropy(logits, labels) + dice_weight * soft_label_dice(logits, labels, squared=False)

    def deep(side: torch.nn.Module, images: Tensor) -> tuple[Any, Tensor]:
        output = side.network(images)  # type: ignore[operator]
        half = side.heads.heads[0](output.decoded[1])  # type: ignore[union-attr, index, operator]
        assert half.shape[2:] == (8, 8, 8)
        return output, (2 * base(output.logits) + base(half)) / 3

    student, of_student = deep(method.student, data.complete[:, :1])
    teacher, of_teacher = deep(method.teacher, data.complete)
    assert student.encoded[-1].shape[1] == 64
    expected = {
        "teacher_segmentation": of_teacher,
        "segmentation": of_student,
        "barlow_twins": barlow_twins(student.encoded[-1], teacher.encoded[-1], 0.0051) / 64,
        "soft_labels": 0.5 * soft_label_divergence(student.logits, teacher.logits, 1.0).mean(),
    }
    assert values(method, data) == pytest.approx({k: float(v.detach()) for k, v in expected.items()}, rel=1e-5)


def test_on_nnunets_network_every_scale_but_the_coarsest_has_a_head() -> None:
    """Five decoder levels: logits at full size, heads at 1/2, 1/4 and 1/8, none at 1/16."""
    method = make("choi", network="nnunet")
    for side in (method.student, method.teacher):
        assert [head.in_channels for head in side.heads.heads] == [64, 32, 16]
    images = torch.zeros(1, 1, 32, 32, 64)
    _, logits = method.student(images)
    assert [level.shape[2] for level in logits] == [32, 16, 8, 4]


def test_the_student_steps_second_on_what_the_teacher_gave_before_its_step() -> None:
    method = make("choi", soft_label_weight=1.0).train()
    data = batch(method.context.subsets)
    ours, before = features(method, data)
    logits = method.teacher.network(data.complete).logits.detach()
    fabric = fabric_for(TrainingSettings(precision="float32", device="cpu"))
    optimisers = Optimisers(method, OptimiserSettings(learning_rate=3e-2))

    steps = method.training_step(data, PROGRESS)
    first = next(steps)
    assert first.keys() == {"teacher"}
    student = frozen_copy(method.student)
    optimisers.descend(fabric, first)
    assert not changed(method.student, student)
    _, after = features(method, data)
    assert not torch.allclose(before, after, atol=1e-2), "the teacher has moved"

    second = next(steps)
    assert second.keys() == {"main"}
    found = second["main"]
    assert float(found["barlow_twins"].detach()) == pytest.approx(float(barlow_twins(ours, before)) / 64, rel=1e-5)
    said = method.student.network(data.complete[:, :1]).logits
    divergence = soft_label_divergence(said, logits, 1.0).mean()
    assert float(found["soft_labels"].detach()) == pytest.approx(float(divergence.detach()), rel=1e-5)
    teacher = frozen_copy(method.teacher)
    optimisers.descend(fabric, second)  # autograd would refuse a graph through weights that have moved
    assert not changed(method.teacher, teacher)
    assert next(steps, None) is None


def test_pooled_samples_of_two_crops_leave_nothing_to_learn_between_channels() -> None:
    """Every correlation is 1 or -1: off the diagonal a constant, C - 1 a channel. Positions do not have that fault."""
    between = {}
    for samples in ("pooled", "positions"):
        method = make("choi", bt_samples=samples)
        with torch.no_grad():
            # Large features, beside which the floor of the variance is nothing.
            for side in (method.student, method.teacher):
                for block in side.network.encoder[-1]:
                    block.conv2.weight.mul_(300)
        data = batch(method.context.subsets)
        with_others = values(method, data)["barlow_twins"]
        object.__setattr__(method.settings, "redundancy", 0.0)
        between[samples] = (with_others - values(method, data)["barlow_twins"]) / 0.0051
    assert between["pooled"] == pytest.approx(63, rel=0.02)
    assert between["positions"] < 0.9 * 63


def test_both_sides_share_the_projector_and_it_descends_with_the_student() -> None:
    method = make("choi", projector=True).train()
    data = batch(method.context.subsets)
    ours, theirs = (method.projector(side) for side in features(method, data))
    found = terms(method, data)
    assert float(found["barlow_twins"].detach()) == pytest.approx(
        float(barlow_twins(ours, theirs).detach()) / ours.shape[1], rel=1e-5
    )
    owned = {id(parameter) for parameter in method.parameter_groups()["main"]}
    assert {id(parameter) for parameter in method.projector.parameters()} <= owned
    for name, pulled in (("barlow_twins", True), ("segmentation", False), ("teacher_segmentation", False)):
        gradients = torch.autograd.grad(
            found[name], list(method.projector.parameters()), retain_graph=True, allow_unused=True
        )
        assert any(g is not None for g in gradients) is pulled, name
    assert not list(make("choi").projector.parameters())


def test_barlow_twins_are_full_precision_under_autocast() -> None:
    method = make("choi", soft_label_weight=1.0)
    # At 16 the bottleneck has depth 2, at which oneDNN 3 reads memory that nobody wrote for a gradient in bf16.
    data = crop(batch(method.context.subsets, size=32), (32, 16, 16))
    plain = values(method, data)
    with torch.autocast("cpu", torch.bfloat16):
        assert method.student.network(data.complete[:, :1]).logits.dtype == torch.bfloat16, "autocast is on"
        found = terms(method, data)
    for name, term in found.items():
        assert term.dtype == torch.float32, name
        assert float(term.detach()) == pytest.approx(plain[name], rel=0.1), name
    total = torch.stack(list(found.values())).sum()
    gradients = torch.autograd.grad(total, list(method.parameters()), allow_unused=True)
    assert all(bool(torch.isfinite(g).all()) for g in gradients if g is not None)
