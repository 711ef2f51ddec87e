"""Values computed once, in float64, by an implementation that is independent of this one."""

import pytest
import torch

from limbeck import losses
from limbeck.anatomy import Region
from limbeck.target import regions

LOGITS = (2, 4, 8, 8, 8)
REGION_LOGITS = (2, 3, 8, 8, 8)


def close(expected, tolerance=1e-9):
    """Ten printed decimals, no more."""
    return pytest.approx(expected, rel=0, abs=tolerance)


def test_labels_have_the_stated_voxels(labels):
    assert regions(labels).sum((2, 3, 4)).tolist() == [[216, 64, 56], [64, 8, 0]]


@pytest.mark.parametrize(("temperature", "expected"), [(1, 0.2294438793), (4, 0.0245009704), (20, 0.0205653468 / 20)])
def test_soft_label_divergence(wave, temperature, expected):
    student, teacher = 3 * wave(LOGITS, 0.7, 0), 3 * wave(LOGITS, 0.7, 0.5)
    assert losses.soft_label_divergence(student, teacher, temperature).mean().item() == close(expected)


def test_cascade_region_attention(wave, labels):
    shapes = [(2, 4, 8, 8, 8), (2, 8, 4, 4, 4), (2, 16, 2, 2, 2)]
    student = [wave(shape, 0.3, 0) for shape in shapes]
    teacher = [wave(shape, 0.3, 0.2) for shape in shapes]
    truth = regions(labels)
    masks = [losses.resize_masks(truth[:, [region]], shape[2:]) for region, shape in zip(Region, shapes, strict=True)]
    assert not masks[2].any(), "the enhancing tumour is lost at a quarter of the size"
    assert losses.cascade_region_attention(student, teacher, masks).item() == close(0.0272534879)
    for level, expected in enumerate([0.0085619335, 0.0186915545, 0.0]):
        part = losses.cascade_region_attention(student[level : level + 1], teacher[level : level + 1], [masks[level]])
        assert part.item() == close(expected)


def test_patch_presence(labels):
    assert losses.patch_presence(regions(labels), 4).sum((2, 3, 4)).tolist() == [[8, 8, 8], [1, 1, 0]]


def test_patch_contrast(wave, labels):
    student, teacher = wave((2, 5, 2, 2, 2), 0.9, 0), wave((2, 5, 2, 2, 2), 0.9, 0.3)
    foreground = losses.patch_presence(regions(labels), 4)[:, Region.WT]
    assert losses.patch_contrast(student, teacher, foreground, 0.1).item() == close(0.0444071853)
    assert losses.patch_contrast(student, teacher, torch.ones_like(foreground), 0.1).item() == 0


def test_soft_region_entropy(wave):
    student, teacher = 4 * wave(REGION_LOGITS, 0.7, 0), 4 * wave(REGION_LOGITS, 0.7, 0.5)
    entropy = losses.soft_region_entropy(student, teacher, 1.0)
    assert entropy.sum(1).mean().item() == close(1.3136406812)


def test_soft_dice(wave, labels):
    probabilities = (4 * wave(REGION_LOGITS, 0.7, 0)).sigmoid()
    expected = [0.5947731665, 0.8244124267, 0.8918279510]
    assert losses.soft_dice(probabilities, regions(labels)).tolist() == close(expected)


def test_region_dice(wave, labels):
    logits = 4 * wave(REGION_LOGITS, 0.7, 0)
    expected = 0.5947731665 + 0.8244124267 + 0.8918279510
    assert losses.region_dice(logits, regions(labels), smooth=1e-5).item() == close(expected)


def test_class_relation(wave, labels):
    student, teacher = wave((2, 6, 8, 8, 8), 0.37, 0), wave((2, 6, 8, 8, 8), 0.41, 0.4)
    expected = [1.7503634682, 0.0410616867]
    assert losses.class_relation(student, teacher, regions(labels)).tolist() == close(expected)


@pytest.mark.parametrize(("normaliser", "divisor"), [("paper", 4 * 27), ("entries", 27 * 27), ("rows", 27)])
def test_attention_distance(wave, normaliser, divisor):
    def attention(features):
        weights = wave((2, 4), 1.1, 0), wave((2, 4), 1.7, 0)
        return [torch.einsum("oc,bcdhw->bodhw", weight, features) for weight in weights]

    student, teacher = attention(wave((1, 4, 3, 3, 3), 0.8, 0)), attention(wave((1, 4, 3, 3, 3), 0.8, 0.3))
    distance = losses.attention_distance(*student, *teacher, 4, normaliser, rows=10)
    assert distance.item() * divisor == close(0.4348907044)


def test_adversarial_pair(wave):
    teacher, student = wave((1, 1, 2, 2, 2), 0.5, 0), wave((1, 1, 2, 2, 2), 0.5, 1)
    assert losses.critic_loss(teacher, student).item() == close(0.8201489725)
    assert losses.fool_loss(student).item() == close(0.8377543348)


def test_dice_jaccard_cross_entropy(wave, labels):
    assert losses.dice_jaccard_cross_entropy(3 * wave(LOGITS, 0.7, 0), labels).item() == close(1.4203022288)


def test_performance_weights():
    scores = torch.tensor([0.80, 0.85, 0.70], dtype=torch.float64)
    expected = [0.0510638, 0.0542553, 0.0446809]
    assert losses.performance_weights(scores, 0.15).tolist() == close(expected, 1e-7)


def test_barlow_twins(wave):
    student, teacher = wave((2, 6, 3, 3, 3), 0.61, 0), wave((2, 6, 3, 3, 3), 0.61, 0.4)
    assert losses.barlow_twins(student, teacher).item() == close(0.0400564234)
