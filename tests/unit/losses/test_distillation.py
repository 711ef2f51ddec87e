"""Losses between outputs, and what every distillation term promises about its teacher and its precision."""

import math

import pytest
import torch
import torch.nn.functional as F

from limbeck import losses
from limbeck.losses.precision import full_precision


def halves():
    masks = torch.zeros(2, 3, 4, 4, 4)
    masks[:, 0, :3], masks[:, 1, :2], masks[0, 2, :1] = 1, 1, 1
    return masks


def chequered():
    return torch.arange(64).reshape(1, 4, 4, 4).repeat(2, 1, 1, 1) % 2


# Each takes features `[2,4,4,4,4]` of student and teacher and gives one number.
TERMS = {
    "soft_label_divergence": lambda s, t: losses.soft_label_divergence(s, t, 4.0).mean(),
    "soft_region_entropy": lambda s, t: losses.soft_region_entropy(s, t, 10.0).mean(),
    "cascade_region_attention": lambda s, t: losses.cascade_region_attention([s], [t], [halves()[:, :1]]),
    "patch_contrast": lambda s, t: losses.patch_contrast(s, t, chequered(), 0.1),
    "class_relation": lambda s, t: losses.class_relation(s, t, halves()).mean(),
    "attention_distance": lambda s, t: losses.attention_distance(s, s, t, t, 4, "rows", rows=24),
    "barlow_twins": losses.barlow_twins,
}


@pytest.fixture(params=TERMS)
def term(request):
    return TERMS[request.param]


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.randn(2, 4, 4, 4, 4, requires_grad=True), torch.randn(2, 4, 4, 4, 4, requires_grad=True)


@pytest.mark.parametrize("name", [name for name in TERMS if name != "patch_contrast"])
def test_gradients_reach_the_student_and_never_the_teacher(name, pair):
    student, teacher = pair
    TERMS[name](student, teacher).backward()
    assert student.grad.isfinite().all()
    assert student.grad.any()
    assert teacher.grad is None


def test_contrast_teaches_both_projectors_and_stops_where_its_caller_detaches(pair):
    """The one term that moves a module on the teacher's side."""
    student, teacher = pair
    projectors = [torch.nn.Conv3d(4, 3, 1) for _ in pair]
    ours, theirs = projectors[0](student), projectors[1](teacher.detach())
    losses.patch_contrast(ours, theirs, chequered(), 0.1).backward()
    for projector in projectors:
        assert projector.weight.grad.isfinite().all()
        assert projector.weight.grad.any()
    assert student.grad.any()
    assert teacher.grad is None


def test_half_precision_and_autocast_do_not_change_the_computation(term, pair):
    student, teacher = (features.detach().bfloat16() for features in pair)
    expected = term(student.float(), teacher.float())
    with torch.autocast("cpu", torch.bfloat16):
        value = term(student, teacher)
        wide = term(student.float(), teacher.float())
    assert value.dtype == torch.float32
    assert torch.allclose(wide, expected, rtol=0, atol=1e-6)
    assert torch.allclose(value, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    ["soft_label_divergence", "cascade_region_attention", "class_relation", "attention_distance"],
)
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(name, pair):
    student = pair[0].double().detach().requires_grad_()
    loss = TERMS[name](student, student.detach().clone())
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-8


def test_contrast_does_not_vanish_where_student_and_teacher_agree(pair):
    student = pair[0].detach()
    assert losses.patch_contrast(student, student, chequered(), 0.1) > 0


def test_twins_that_are_equal_differ_by_their_redundancy_alone(pair):
    student = pair[0].detach().double()
    assert losses.barlow_twins(student, student, redundancy=0.0).item() == pytest.approx(0, abs=1e-8)
    assert losses.barlow_twins(student, student) > 0


def test_entropy_has_the_teachers_own_as_its_floor(pair):
    teacher = pair[1].detach().double().requires_grad_()
    floor = losses.soft_region_entropy(teacher, teacher.detach().clone(), 10.0)
    q = (teacher / 10).sigmoid()
    assert torch.allclose(floor, -(q * q.log() + (1 - q) * (1 - q).log()))
    floor.sum().backward()
    assert teacher.grad.abs().max() < 1e-12


def test_divergence_by_hand():
    """Two classes, a teacher sure by 3 : 1, a student undecided: log 2 less the teacher's entropy."""
    teacher = torch.tensor([[[math.log(3.0)], [0.0]]], dtype=torch.float64)
    divergence = losses.soft_label_divergence(torch.zeros_like(teacher), teacher, 1.0)
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert divergence.shape == (1, 1)
    assert divergence.item() == pytest.approx(expected)


def test_divergence_is_the_teachers_and_not_the_students():
    sure = torch.tensor([[[4.0], [0.0]]])
    even = torch.zeros_like(sure)
    assert losses.soft_label_divergence(even, sure, 1.0) != losses.soft_label_divergence(sure, even, 1.0)


def test_divergence_does_not_mind_a_shift_of_all_logits(pair):
    student, teacher = (features.detach().double() for features in pair)
    shifted = losses.soft_label_divergence(student + 7, teacher - 3, 4.0)
    assert torch.allclose(shifted, losses.soft_label_divergence(student, teacher, 4.0))


def test_divergence_of_extreme_logits_is_finite():
    student = torch.tensor([[[-3e4], [3e4]]], requires_grad=True)
    losses.soft_label_divergence(student, -student, 1.0).sum().backward()
    assert student.grad.isfinite().all()


def test_the_batch_sum_is_what_batchmean_does_to_a_volume(pair):
    student, teacher = (features.detach().double() for features in pair)
    divergence = losses.soft_label_divergence(student, teacher, 20.0)
    log_student, log_teacher = ((logits / 20).log_softmax(1) for logits in (student, teacher))
    published = F.kl_div(log_student, log_teacher.exp(), reduction="batchmean")
    assert torch.allclose(losses.batch_sum(divergence), published)
    assert torch.allclose(losses.batch_sum(divergence), 4**3 * divergence.mean())


def test_region_entropy_by_hand():
    """A teacher at 3/4, a student at 1/2: log 2."""
    teacher = torch.full((1, 1, 1), 2 * math.log(3.0), dtype=torch.float64)
    assert losses.soft_region_entropy(torch.zeros_like(teacher), teacher, 2.0).item() == pytest.approx(math.log(2))
    student = torch.full_like(teacher, 2 * math.log(1 / 3))
    expected = -0.75 * math.log(0.25) - 0.25 * math.log(0.75)
    assert losses.soft_region_entropy(student, teacher, 2.0).item() == pytest.approx(expected)


def test_performance_weights_of_equal_and_of_hopeless_teachers():
    assert losses.performance_weights(torch.full((3,), 0.6), 0.15).tolist() == pytest.approx([0.05] * 3)
    assert losses.performance_weights(torch.zeros(3), 0.15).tolist() == pytest.approx([0.05] * 3)
    assert losses.performance_weights(torch.tensor([0.0, 1.0, 3.0]), 1.0).tolist() == pytest.approx([0, 0.25, 0.75])


def test_full_precision_widens_floats_alone():
    @full_precision
    def kinds(tensors, labels, note, scale):
        product = tensors[0] @ tensors[1]
        return [tensors[0].dtype, product.dtype, labels.dtype, note, scale.dtype]

    half = torch.ones(2, 2, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = kinds([half, half], torch.ones(2, dtype=torch.long), "as it was", scale=half.double())
    assert found == [torch.float32, torch.float32, torch.int64, "as it was", torch.float64]
