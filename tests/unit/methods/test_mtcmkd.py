"""MTCM-KD's own promises: who sees what, weights by performance over epochs, and the published mode's five habits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toy import PROGRESS, SIZE, batch, make
from unit.methods.yielded import descend, terms, values

from limbeck.anatomy import Modality, Region, Subset
from limbeck.batch import Batch
from limbeck.errors import UsageError
from limbeck.losses import dice_jaccard_cross_entropy, performance_weights, resize_labels, soft_label_divergence
from limbeck.methods import build, find
from limbeck.methods.base import Context, Descent, Progress
from limbeck.methods.saved import Card, load_card, load_method, save
from limbeck.normalisation import Normalisation
from limbeck.overlap import hard_dice, legacy_slice_mean
from limbeck.target import inside
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for

FIRST = Progress(step=0, steps=10, epoch=0, epochs=2)
TEACHERS = (Modality.T1, Modality.T1CE, Modality.T2)  # of a student of FLAIR


@pytest.mark.parametrize("absent", [False, True], ids=["all-classes", "without-enhancing"])
@pytest.mark.parametrize("as_published", [False, True])
def test_every_term_is_its_weight_times_its_loss(as_published: bool, absent: bool) -> None:
    """0.75, 0.15 in equal parts at first, 0.10 x 0.7 and 0.10 x 0.3, and 0.08; T = 20; T and sums only as published."""
    method = make("mtcmkd", as_published=as_published).train()
    data = batch(method.context.subsets)
    if absent:
        data = dataclasses.replace(data, labels=data.labels.clamp(max=2))
    labels, at_half = data.labels, resize_labels(data.labels, (8, 8, 8))

    def base(logits: Tensor, truth: Tensor) -> Tensor:
        return dice_jaccard_cross_entropy(logits, truth, absent_scores_zero=as_published)

    def soft(ours: Tensor, theirs: Tensor) -> Tensor:
        factor = 20 * theirs[0, 0].numel() if as_published else 20**2
        return factor * soft_label_divergence(ours, theirs, 20.0).mean()

    student = method.student(data.complete[:, :1])
    teachers = [net(data.complete[:, m, None]) for net, m in zip(method.teachers, TEACHERS, strict=True)]
    deep = method.deep_head.heads[0](student.decoded[-2])
    fused = method.fusion([teacher.decoded[-2] for teacher in teachers])
    expected = {
        "segmentation": 0.75 * base(student.logits, labels),
        "deep": 0.07 * base(deep, at_half),
        "soft_fusion": 0.03 * soft(deep, fused),
        "fusion": 0.08 * base(fused, at_half),
    }
    for modality, teacher in zip(TEACHERS, teachers, strict=True):
        expected[f"teacher_{modality.role}"] = base(teacher.logits, labels)
        expected[f"soft_{modality.role}"] = 0.05 * soft(student.logits, teacher.logits)
    assert values(method, data) == pytest.approx({k: float(v.detach()) for k, v in expected.items()}, rel=1e-4)


@pytest.mark.parametrize("text", ["flair+t1", "all"])
def test_a_student_of_more_than_one_sequence_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="one sequence"):
        find("mtcmkd").check(Subset.parse(text))
    for single in ("flair", "t1", "t1ce", "t2"):
        find("mtcmkd").check(Subset.parse(single))


@pytest.mark.parametrize("student", list(Modality), ids=lambda modality: modality.role)
def test_each_teacher_reads_one_of_the_other_three_sequences_and_never_the_students(student: Modality) -> None:
    subset = Subset.parse(student.role)
    method = build("mtcmkd", find("mtcmkd").Settings(width=8), Context((subset,)))
    data = batch((subset,))
    before = values(method, data)
    teachers = {f"teacher_{modality.role}" for modality in Modality if modality is not student}
    assert {name for name in before if name.startswith("teacher_")} == teachers
    for modality in Modality:
        complete = data.complete.clone()
        complete[:, modality] += torch.randn(complete[:, modality].shape)
        after = values(method, dataclasses.replace(data, complete=complete))
        moved = {name for name in before if after[name] != before[name]}
        own = {f"teacher_{modality.role}", f"soft_{modality.role}", "fusion", "soft_fusion"}
        assert moved == (set() if modality is student else own)


def test_the_fusion_teaches_all_teachers_and_the_student_none() -> None:
    method = make("mtcmkd")
    found = terms(method, batch(method.context.subsets))
    for teacher in method.teachers:
        for name, pulled in (("fusion", True), ("soft_fusion", False), ("soft_t1", False)):
            gradients = torch.autograd.grad(
                found[name], list(teacher.parameters()), retain_graph=True, allow_unused=True
            )
            assert any(g is not None for g in gradients) is pulled, name


def test_the_first_epoch_has_the_base_loss_alone_at_weight_one() -> None:
    method = make("mtcmkd")
    data = batch(method.context.subsets)
    teachers, groups = method.train().training_step(data, FIRST)
    assert set(groups["main"]) == {"segmentation"}
    later = values(method, data)
    assert float(groups["main"]["segmentation"].detach()) == pytest.approx(later["segmentation"] / 0.75, rel=1e-6)
    assert {"teacher_t1", "teacher_t1ce", "teacher_t2", "fusion"} == set(teachers["teachers"])


def teacher_scores(method: torch.nn.Module, data: Batch, *, slices: bool) -> Tensor:
    """Each teacher's Dice of the whole tumour, summed over the crops, from its logits."""
    metric = legacy_slice_mean if slices else hard_dice
    whole = inside(data.labels, Region.WT)
    found = []
    for net, modality in zip(method.teachers, TEACHERS, strict=True):  # type: ignore[call-overload]
        logits = net(data.complete[:, modality, None]).logits
        found.append(metric(logits.argmax(1) > 0, whole).sum())
    return torch.stack(found)


@pytest.mark.parametrize("as_published", [False, True])
def test_an_epochs_mean_scores_become_the_next_epochs_weights(as_published: bool) -> None:
    """Eq. 1: in proportion to the whole tumour's Dice over this epoch's crops, and counted anew afterwards."""
    method = make("mtcmkd", as_published=as_published).train()
    assert torch.allclose(method.shares, torch.full((3,), 0.05))
    total = torch.zeros(3)
    for seed in (1, 2):
        data = batch(method.context.subsets, seed=seed)
        total += teacher_scores(method, data, slices=as_published).detach()
        descend(method, Optimisers(method, OptimiserSettings(learning_rate=3e-3)), data, FIRST)
    torch.testing.assert_close(method.scores, total)
    assert float(method.crops) == 4
    assert len(set(total.tolist())) == 3, "teachers that all did alike would prove nothing"
    method.after_epoch(FIRST)
    torch.testing.assert_close(method.shares, performance_weights(total / 4, 0.15))
    assert float(method.shares.sum()) == pytest.approx(0.15, rel=1e-5)
    assert not method.scores.any()
    assert float(method.crops) == 0

    data = batch(method.context.subsets)
    weighted = values(method, data)
    method.shares.fill_(1.0)
    plain = values(method, data)
    for index, modality in enumerate(TEACHERS):
        share = float(performance_weights(total / 4, 0.15)[index])
        assert weighted[f"soft_{modality.role}"] == pytest.approx(share * plain[f"soft_{modality.role}"], rel=1e-5)


@pytest.mark.parametrize("as_published", [False, True])
def test_a_crop_without_tumour_says_nothing_of_a_teacher_but_as_published(as_published: bool) -> None:
    """There an empty answer scores 1 and any other 0, which is no measure of the whole tumour."""
    method = make("mtcmkd", as_published=as_published).train()
    data = batch(method.context.subsets)
    labels = data.labels.clone()
    labels[1] = 0
    data = dataclasses.replace(data, labels=labels)
    metric = legacy_slice_mean if as_published else hard_dice
    crops = 2 if as_published else 1
    expected = [
        metric(net(data.complete[:, m, None]).logits.argmax(1) > 0, labels > 0)[:crops].sum()
        for net, m in zip(method.teachers, TEACHERS, strict=True)
    ]
    values(method, data)
    assert float(method.crops) == crops
    torch.testing.assert_close(method.scores, torch.stack(expected))


def test_the_students_targets_are_what_the_teachers_gave_before_their_step() -> None:
    method = make("mtcmkd").train()
    data = batch(method.context.subsets)
    before = values(method, data)
    optimisers = Optimisers(method, OptimiserSettings(learning_rate=3e-2))
    fabric = fabric_for(TrainingSettings(precision="float32", device="cpu"))
    steps = method.training_step(data, PROGRESS)
    first = next(steps)
    assert first.keys() == {"teachers"}
    optimisers.descend(fabric, first)
    second = next(steps)
    assert second.keys() == {"main"}
    assert {name: float(term.detach()) for name, term in second["main"].items()} == {
        name: before[name] for name in second["main"]
    }
    optimisers.descend(fabric, second)
    after = values(method, data)
    assert after["teacher_t1"] != before["teacher_t1"], "the teachers have moved"


def test_the_published_score_is_not_the_volumetric_one() -> None:
    """Slices that are empty in both count 1, which makes all teachers look alike."""
    method = make("mtcmkd")
    data = batch(method.context.subsets)
    slices, volumes = (teacher_scores(method, data, slices=on) for on in (True, False))
    assert not torch.allclose(slices, volumes)


def test_weights_and_counts_are_in_checkpoints(tmp_path: Path) -> None:
    """A resumed run would else start at equal weights again, in silence."""
    method = make("mtcmkd")
    method.shares.copy_(torch.tensor([0.02, 0.03, 0.10]))
    descend(method, Optimisers(method, OptimiserSettings()), batch(method.context.subsets))
    assert {"shares", "scores", "crops"} <= method.state_dict().keys()
    save(
        tmp_path, method, Card("mtcmkd", vars(method.settings), method.context.subsets, method.target, 2.0, (SIZE,) * 3)
    )
    again = load_method(tmp_path, load_card(tmp_path))
    for name in ("shares", "scores", "crops"):
        assert torch.equal(getattr(again, name), getattr(method, name))
    assert float(again.crops) == 2  # type: ignore[arg-type]


def test_teachers_that_found_nothing_share_alike() -> None:
    method = make("mtcmkd")
    method.after_epoch(PROGRESS)
    torch.testing.assert_close(method.shares, torch.full((3,), 0.05))


def test_the_factor_of_squared_temperature_is_twenty_more_than_that_of_the_temperature() -> None:
    data = batch(make("mtcmkd").context.subsets)
    squared, plain = (values(make("mtcmkd", t2_scale=on), data) for on in (True, False))
    for name, value in plain.items():
        factor = 20 if name.startswith("soft_") else 1
        assert squared[name] == pytest.approx(factor * value, rel=1e-6), name


def test_as_published_soft_labels_are_larger_by_the_number_of_voxels() -> None:
    """The trap of `batchmean`: 4096 voxels here, two million in the paper."""
    data = batch(make("mtcmkd").context.subsets)
    corrected = values(make("mtcmkd", t2_scale=False), data)
    published = values(make("mtcmkd", as_published=True), data)
    for name, voxels in (("soft_t1", 16**3), ("soft_t1ce", 16**3), ("soft_t2", 16**3), ("soft_fusion", 8**3)):
        assert published[name] == pytest.approx(voxels * corrected[name], rel=1e-4)


def test_as_published_the_student_descends_at_a_twenty_fifth_and_the_teachers_do_not() -> None:
    method = make("mtcmkd", as_published=True)
    assert method.descents() == {"main": Descent(rate=1 / 25, betas=(0.95, 0.999))}
    optimisers = Optimisers(method, OptimiserSettings(learning_rate=1e-4, schedule="constant"))
    optimisers.schedule(0, 10)
    student, teachers = (optimisers.by_group[group].param_groups[0] for group in ("main", "teachers"))
    assert student["lr"] == pytest.approx(4e-6)
    assert student["betas"] == (0.95, 0.999)
    assert teachers["lr"] == pytest.approx(1e-4)
    assert teachers["betas"] == (0.9, 0.999)
    assert make("mtcmkd").descents() == {}


def test_as_published_images_are_raw() -> None:
    assert find("mtcmkd").Settings(as_published=True).normalisation is Normalisation.RAW
    assert find("mtcmkd").Settings().normalisation is Normalisation.Z_SCORE


def test_the_student_starts_from_xavier_and_the_teachers_from_torchs_own() -> None:
    """Deviations tell: Xavier's is sqrt(2 / (fan in + fan out)), torch's sqrt(1 / (3 fan in))."""
    method = make("mtcmkd")
    for network, factor in ((method.student, 2 / 2), (method.teachers[0], 1 / 3)):
        weight = network.encoder[3][0].conv1.weight
        fan = weight.shape[1] * 27
        assert float(weight.detach().std()) == pytest.approx((factor / fan) ** 0.5, rel=0.03)
