"""GKD's own promises: its factors, its cascade, and what happens where there is no tumour."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from toy import batch, make
from unit.methods.yielded import changed, descend, frozen_copy, terms, values

from limbeck.losses import cascade_region_attention, cross_entropy_dice, resize_masks, soft_label_divergence
from limbeck.target import regions
from limbeck.training.optimise import Optimisers, OptimiserSettings

ORDERS = {"wt-tc-et": (0, 1, 2), "et-tc-wt": (2, 1, 0)}


@pytest.mark.parametrize("mask_resize", ["nearest", "maxpool"])
@pytest.mark.parametrize("mask_order", ORDERS)
def test_every_term_is_its_weight_times_its_loss(mask_order: str, mask_resize: str) -> None:
    """Eq. 7 with T = 4 and T^2 = 16; Eq. 3-6 with a region at full, half and quarter size each."""
    method = make("gkd", mask_order=mask_order, mask_resize=mask_resize).train()
    data = batch(method.context.subsets)
    student = method.student(data.complete[:, :1])  # FLAIR is the first
    teacher = method.frozen["teacher"].network(data.complete)
    whole = regions(data.labels)
    masks = [
        resize_masks(whole[:, region, None], (size,) * 3, mask_resize)  # type: ignore[arg-type]
        for region, size in zip(ORDERS[mask_order], (16, 8, 4), strict=True)
    ]
    expected = {
        "segmentation": cross_entropy_dice(student.logits, data.labels),
        "soft_labels": 0.75 * 16 * soft_label_divergence(student.logits, teacher.logits, 4.0).mean(),
        "region_attention": 0.9 * cascade_region_attention(student.encoded[:3], teacher.encoded[:3], masks),
    }
    assert values(method, data) == pytest.approx({name: float(v.detach()) for name, v in expected.items()}, rel=1e-6)


def test_soft_labels_are_summed_over_classes_and_averaged_over_voxels_and_batch() -> None:
    """By hand in double precision: `batchmean` would be 4096 times larger here, `mean` four times smaller."""
    method = make("gkd").train()
    data = batch(method.context.subsets)
    ours = (method.student(data.complete[:, :1]).logits.double() / 4).softmax(1)
    theirs = (method.frozen["teacher"].network(data.complete).logits.double() / 4).softmax(1)
    divergence = (theirs * (theirs / ours).log()).sum() / (2 * 16**3)
    assert values(method, data)["soft_labels"] == pytest.approx(float(divergence.detach()) * 0.75 * 16, rel=1e-4)


def test_the_factor_of_squared_temperature_is_exactly_sixteen_and_on_soft_labels_alone() -> None:
    data = batch(make("gkd").context.subsets)
    scaled, plain = (values(make("gkd", t2_scale=on), data) for on in (True, False))
    assert scaled.pop("soft_labels") == 16 * plain.pop("soft_labels")
    assert scaled == plain


def test_a_crop_without_tumour_adds_an_exact_zero_that_has_a_graph() -> None:
    method = make("gkd")
    data = batch(method.context.subsets)
    found = terms(method, dataclasses.replace(data, labels=torch.zeros_like(data.labels)))["region_attention"]
    assert float(found.detach()) == 0.0
    gradients = torch.autograd.grad(found, list(method.parameters()), allow_unused=True)
    assert any(g is not None for g in gradients)
    assert all(float(g.abs().sum()) == 0 for g in gradients if g is not None)


def test_one_empty_sample_does_not_dilute_the_others() -> None:
    """The mean is over samples whose mask holds a voxel: two crops, one without tumour, weigh like the other alone."""
    method = make("gkd")
    data = batch(method.context.subsets)
    labels = data.labels.clone()
    labels[1] = 0
    alone = dataclasses.replace(
        data,
        view=dataclasses.replace(data.view, images=data.view.images[:1]),
        complete=data.complete[:1],
        labels=labels[:1],
    )
    both = values(method, dataclasses.replace(data, labels=labels))["region_attention"]
    assert both == pytest.approx(values(method, alone)["region_attention"], rel=1e-5)
    assert both > 0


def test_region_attention_teaches_the_encoders_first_three_levels_and_nothing_behind() -> None:
    method = make("gkd")
    found = terms(method, batch(method.context.subsets))["region_attention"]
    named = dict(method.student.named_parameters())
    gradients = torch.autograd.grad(found, list(named.values()), allow_unused=True)
    reached = {
        name.split(".")[0] + "." + name.split(".")[1] for name, g in zip(named, gradients, strict=True) if g is not None
    }
    assert {"encoder.0", "encoder.1", "encoder.2"} <= reached
    assert not any(name.startswith(("decoder", "head", "upsampling", "encoder.3")) for name in reached)


def test_a_frozen_teacher_with_batch_normalisation_answers_the_same_after_the_student_has_trained() -> None:
    """In train mode its running statistics would drift with every crop."""
    method = make("gkd", network="vnet")
    data = batch(method.context.subsets, size=32)
    teacher = method.frozen["teacher"]
    before, answer = frozen_copy(teacher), teacher.network(data.complete).logits
    optimisers = Optimisers(method, OptimiserSettings(learning_rate=1e-2))
    for _ in range(2):
        descend(method, optimisers, data)
    assert not changed(teacher, before)
    assert torch.equal(teacher.network(data.complete).logits, answer)
