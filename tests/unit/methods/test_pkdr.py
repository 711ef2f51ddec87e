"""PKDR and its teacher: patches of the stride, soft terms above their floor, a contrast that learns."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from toy import PROGRESS, batch, make
from unit.methods.yielded import changed, descend, frozen_copy, terms, values

from limbeck.anatomy import Subset
from limbeck.losses import binary_cross_entropy_dice, patch_contrast, patch_presence, soft_region_entropy
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.target import regions
from limbeck.training.optimise import Optimisers, OptimiserSettings

STRIDES = {"unet": (8, 16), "vnet": (16, 32)}  # network -> patch, crop


@pytest.mark.parametrize(("network", "squared"), [("unet", True), ("unet", False), ("vnet", True)])
def test_every_term_is_its_weight_times_its_loss(network: str, squared: bool) -> None:
    """Eq. 9, with T1 = 10, T2 = 5 and tau = 0.1; a patch is what one position of the encoder's output stands for."""
    patch, size = STRIDES[network]
    method = make("pkdr", network=network, dice_denominator="squared" if squared else "plain").train()
    data = batch(method.context.subsets, size=size)
    student = method.student(data.complete[:, :1])
    head = method.patch_head(student.encoded[-1])
    with torch.no_grad():
        teacher, teacher_head = method.frozen["teacher"](data.complete)
    truth = regions(data.labels)
    present = patch_presence(truth, patch)
    assert present.shape == head.shape == teacher_head.shape

    def above_floor(ours: torch.Tensor, theirs: torch.Tensor, temperature: float) -> torch.Tensor:
        # In double precision: their difference is a thousandth of either.
        sides = (side.double() for side in (ours, theirs))
        entropies = (soft_region_entropy(side, theirs.double(), temperature).sum(1).mean() for side in sides)
        return next(entropies) - next(entropies)

    embedded = method.projector(student.encoded[-1]), method.privileged_projector(teacher.encoded[-1])
    expected = {
        "segmentation": binary_cross_entropy_dice(student.logits, truth, squared),
        "patch_selection": 0.7 * binary_cross_entropy_dice(head, present, squared),
        "soft_regions": 0.5 * above_floor(student.logits, teacher.logits, 10.0),
        "soft_patches": 0.5 * above_floor(head, teacher_head, 5.0),
        "patch_contrast": 0.5 * patch_contrast(*embedded, present[:, 0], 0.1),
    }
    numbers = {name: float(value.detach()) for name, value in expected.items()}
    assert values(method, data) == pytest.approx(numbers, rel=1e-4)
    assert all(value > 0 for value in numbers.values())


@pytest.mark.parametrize(("network", "squared"), [("unet", True), ("unet", False), ("vnet", True)])
def test_every_term_of_the_teacher_is_its_weight_times_its_loss(network: str, squared: bool) -> None:
    patch, size = STRIDES[network]
    method = make("pkdr_teacher", network=network, dice_denominator="squared" if squared else "plain").train()
    data = batch(method.context.subsets, size=size)
    output, head = method(data.complete[:, :1])
    truth = regions(data.labels)
    expected = {
        "segmentation": binary_cross_entropy_dice(output.logits, truth, squared),
        "patch_selection": 0.7 * binary_cross_entropy_dice(head, patch_presence(truth, patch), squared),
    }
    numbers = {name: float(value.detach()) for name, value in expected.items()}
    assert values(method, data) == pytest.approx(numbers, rel=1e-5)


def test_soft_terms_are_exactly_zero_where_the_student_says_what_the_teacher_says() -> None:
    """They are cross-entropies above their floor; as printed they would be about 2 here."""
    torch.manual_seed(3)
    whole = Context((Subset.parse("all"),))
    teacher = build("pkdr_teacher", find("pkdr_teacher").Settings(width=8), whole)
    student = build("pkdr", find("pkdr").Settings(width=8), Context(whole.subsets, {"teacher": teacher}))
    student.student.load_state_dict(teacher.network.state_dict())
    student.patch_head.load_state_dict(teacher.patch_head.state_dict())
    data = batch(whole.subsets)
    student.eval()  # else its batch normalisation would look at the batch, which the teacher's does not
    (groups,) = student.training_step(data, PROGRESS)
    assert float(groups["main"]["soft_regions"].detach()) == 0.0
    assert float(groups["main"]["soft_patches"].detach()) == 0.0
    assert float(groups["main"]["patch_contrast"].detach()) > 0


def test_soft_terms_are_above_zero_for_any_other_answer() -> None:
    for seed in range(3):
        method = make("pkdr", seed=seed)
        found = values(method, batch(method.context.subsets, seed=seed))
        assert found["soft_regions"] > 0
        assert found["soft_patches"] > 0


def test_the_factors_of_squared_temperatures_are_a_hundred_and_twenty_five() -> None:
    data = batch(make("pkdr").context.subsets)
    scaled, plain = (values(make("pkdr", t2_scale=on), data) for on in (True, False))
    assert scaled.pop("soft_regions") == pytest.approx(100 * plain.pop("soft_regions"), rel=1e-6)
    assert scaled.pop("soft_patches") == pytest.approx(25 * plain.pop("soft_patches"), rel=1e-6)
    assert scaled == plain


def test_the_teachers_projector_learns_from_the_contrast_alone() -> None:
    """A projector that was never trained embeds at random; the teacher behind it stays as it was."""
    method = make("pkdr")
    data = batch(method.context.subsets)
    for name, term in terms(method, data).items():
        gradients = torch.autograd.grad(
            term, list(method.privileged_projector.parameters()), retain_graph=True, allow_unused=True
        )
        pulled = any(g is not None and bool(g.abs().sum() > 0) for g in gradients)
        assert pulled is (name == "patch_contrast"), name
    before, teacher = frozen_copy(method.privileged_projector), frozen_copy(method.frozen["teacher"])
    descend(method, Optimisers(method, OptimiserSettings(learning_rate=1e-2)), data)
    assert set(changed(method.privileged_projector, before)) == before.keys()
    assert not changed(method.frozen["teacher"], teacher)


def test_a_crop_whose_patches_are_of_one_kind_has_no_contrast() -> None:
    method = make("pkdr")
    data = batch(method.context.subsets)
    for label in (0, 1):
        uniform = dataclasses.replace(data, labels=torch.full_like(data.labels, label))
        assert values(method, uniform)["patch_contrast"] == pytest.approx(0.0, abs=1e-7)


def test_the_teachers_batch_normalisation_stays_as_it_was_while_the_student_trains() -> None:
    """In train mode its running statistics would drift, and its answer would depend on the batch."""
    method = make("pkdr", network="vnet")
    data = batch(method.context.subsets, size=32)
    teacher = method.frozen["teacher"]
    before = frozen_copy(teacher)
    answer, patches = teacher(data.complete)
    running = method.student.encoder[0][1].running_mean.clone()
    descend(method, Optimisers(method, OptimiserSettings(learning_rate=1e-2)), data)
    assert not torch.equal(method.student.encoder[0][1].running_mean, running), "the student's own do move"
    assert not changed(teacher, before)
    again, patches_again = teacher(data.complete)
    assert torch.equal(again.logits, answer.logits)
    assert torch.equal(patches_again, patches)
