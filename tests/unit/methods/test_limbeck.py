"""The recipe's own promises: where the student begins, what pulls on it, and what each switch takes away."""

from __future__ import annotations

import pytest
import torch
from toy import batch, make
from unit.methods.yielded import values

from limbeck.anatomy import Subset
from limbeck.batch import View
from limbeck.losses import (
    binary_cross_entropy_dice,
    cross_entropy_dice,
    soft_label_divergence,
    soft_region_entropy,
)
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.shared_teacher import SharedTeacher
from limbeck.networks import NETWORKS
from limbeck.target import region_logits, regions


def pair(subset: Subset, network: str = "unet", shared: bool = False, terms: str = "regions"):  # type: ignore[no-untyped-def]
    """A generalist, and a student that begins as it."""
    torch.manual_seed(3)
    teacher = build("dropout", find("dropout").Settings(width=8, network=network), Context(Subset.every()))
    settings = find("limbeck").Settings(width=8, network=network, terms=terms)
    answers = SharedTeacher(teacher) if shared else teacher
    return teacher.eval(), build("limbeck", settings, Context((subset,), teachers={"teacher": answers})).eval()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("subset", ["t1", "flair+t1ce", "all"])
def test_the_student_begins_as_the_generalist_that_is_given_its_subset(subset: str, network: str) -> None:
    teacher, student = pair(Subset.parse(subset), network)
    size = 2 * NETWORKS[network].stride
    data = batch((Subset.parse(subset),), size=max(size, 16))
    with torch.inference_mode():
        torch.testing.assert_close(student.predict(data.view), teacher.predict(data.view), rtol=0, atol=1e-5)


def test_so_it_does_where_many_students_share_the_teacher() -> None:
    subset = Subset.parse("t1ce")
    teacher, student = pair(subset, shared=True)
    data = batch((subset,))
    with torch.inference_mode():
        torch.testing.assert_close(student.predict(data.view), teacher.predict(data.view), rtol=0, atol=1e-5)


def test_a_fresh_start_is_another() -> None:
    fresh, begun = (make("limbeck", start=start).state_dict() for start in ("fresh", "teacher"))
    assert not torch.equal(fresh["student.stem.weight"], begun["student.stem.weight"])


def test_terms_are_their_weights_times_their_losses() -> None:
    method = make("limbeck", soft_label_weight=0.25, temperature=3.0).train()
    data = batch(method.context.subsets)
    student = region_logits(method.student(data.complete[:, :1]).logits)
    teacher = region_logits(method.frozen["teacher"](data.complete).logits)
    floor = soft_region_entropy(teacher, teacher, 3.0)
    expected = {
        "segmentation": binary_cross_entropy_dice(student, regions(data.labels)),
        "soft_labels": 0.25 * 9 * (soft_region_entropy(student, teacher, 3.0) - floor).sum(1).mean(),
    }
    assert values(method, data) == pytest.approx({name: float(v.detach()) for name, v in expected.items()}, rel=1e-6)


def test_terms_of_classes_are_those_of_supervised_and_gkd() -> None:
    method = make("limbeck", terms="classes", soft_label_weight=0.25, temperature=3.0).train()
    data = batch(method.context.subsets)
    student = method.student(data.complete[:, :1])
    teacher = method.frozen["teacher"](data.complete)
    expected = {
        "segmentation": cross_entropy_dice(student.logits, data.labels),
        "soft_labels": 0.25 * 9 * soft_label_divergence(student.logits, teacher.logits, 3.0).mean(),
    }
    assert values(method, data) == pytest.approx({name: float(v.detach()) for name, v in expected.items()}, rel=1e-6)


@pytest.mark.parametrize("terms", ["regions", "classes"])
def test_a_student_that_says_what_its_teacher_says_is_not_pulled(terms: str) -> None:
    subset = Subset.parse("all")
    _, student = pair(subset, terms=terms)
    told = values(student, batch((subset,)))
    assert told["soft_labels"] == pytest.approx(0.0, abs=1e-6) and told["segmentation"] > 0.1


def test_without_soft_labels_the_teacher_is_not_asked() -> None:
    method = make("limbeck", soft_label_weight=0.0).train()
    asked: list[object] = []
    method.frozen["teacher"].register_forward_hook(lambda *_: asked.append(1))
    assert values(method, batch(method.context.subsets)).keys() == {"segmentation"}
    assert not asked


def test_the_student_s_start_leaves_the_generalist_as_it_was() -> None:
    teacher, student = pair(Subset.parse("flair"))
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


def test_it_sees_what_its_view_shows() -> None:
    _, student = pair(Subset.parse("flair"))
    data = batch((Subset.parse("flair"),))
    noisy = View.of(
        torch.where(data.view.available[:, :, None, None, None], data.complete, torch.nan), data.view.available
    )
    with torch.inference_mode():
        assert torch.equal(student.predict(noisy), student.predict(data.view))
