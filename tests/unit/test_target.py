"""The three output spaces: labels go in, scores come out, and the way back gives the labels."""

from __future__ import annotations

import pytest
import torch

from limbeck.anatomy import Label, Region
from limbeck.target import Target, inside, region_logits, regions

TARGETS = pytest.mark.parametrize("target", list(Target), ids=lambda target: target.value)
LABELS = torch.tensor([[[0, 1, 2], [3, 2, 0]], [[3, 3, 1], [0, 0, 2]]])


@TARGETS
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_decoding_the_code_gives_the_labels(target: Target, dtype: torch.dtype) -> None:
    encoded = target.encode(LABELS.to(dtype))
    assert encoded.shape == (2, target.channels, 2, 3)
    assert encoded.dtype is torch.float32
    decoded = target.decode(encoded)
    assert decoded.dtype is torch.uint8
    assert torch.equal(decoded.long(), LABELS)


@TARGETS
def test_confident_logits_decode_to_the_labels(target: Target) -> None:
    logits = (target.encode(LABELS) * 2 - 1) * 20
    assert torch.equal(target.decode(target.activate(logits)).long(), LABELS)


@TARGETS
def test_a_resection_cavity_belongs_to_no_class(target: Target) -> None:
    cavity = torch.full((1, 2, 2), int(Label.RESECTION_CAVITY))
    assert torch.equal(target.encode(cavity), target.encode(torch.zeros_like(cavity)))
    assert regions(cavity).count_nonzero() == 0


@TARGETS
def test_scores_are_single_precision_in_the_unit_interval(target: Target) -> None:
    scores = target.activate(torch.tensor([-100.0, 0.0, 100.0], dtype=torch.bfloat16).expand(1, target.channels, 3))
    assert scores.dtype is torch.float32
    assert scores.min() >= 0
    assert scores.max() <= 1
    if target is Target.SOFTMAX_LABELS:
        assert torch.allclose(scores.sum(dim=1), torch.ones(1, 3))


@pytest.mark.parametrize(
    ("scores", "label"),
    [
        ([0.4, 0.9, 0.9], Label.BACKGROUND),  # a core outside the tumour is none
        ([0.9, 0.4, 0.9], Label.OEDEMA),  # nor is an enhancing part outside the core
        ([0.9, 0.9, 0.4], Label.NECROTIC_CORE),
        ([0.9, 0.9, 0.9], Label.ENHANCING),
        ([0.5, 0.5, 0.5], Label.BACKGROUND),  # the threshold itself is not above it
    ],
)
def test_regions_are_read_from_outside_in(scores: list[float], label: Label) -> None:
    decoded = Target.SIGMOID_REGIONS.decode(torch.tensor(scores)[None, :, None])
    assert decoded.tolist() == [[int(label)]]


@pytest.mark.parametrize(
    ("scores", "label"),
    [
        ([0.6, 0.7, 0.1], Label.OEDEMA),
        ([0.51, 0.1, 0.1], Label.NECROTIC_CORE),
        ([0.1, 0.2, 0.95], Label.ENHANCING),
        ([0.5, 0.5, 0.5], Label.BACKGROUND),
    ],
)
def test_the_best_tissue_above_one_half_wins(scores: list[float], label: Label) -> None:
    assert Target.SIGMOID_LABELS.decode(torch.tensor(scores)[None, :, None]).tolist() == [[int(label)]]


@pytest.mark.parametrize("region", list(Region))
def test_inside_follows_the_labels_of_the_region(region: Region) -> None:
    codes = torch.arange(len(Label), dtype=torch.uint8)
    assert inside(codes, region).tolist() == [label in region.labels for label in Label]


def plainly(target: Target, scores: torch.Tensor) -> torch.Tensor:
    """What decoding is, in torch's own words for a greatest score."""
    best, channel = scores.max(dim=1)
    if target is Target.SOFTMAX_LABELS:
        return channel
    if target is Target.SIGMOID_LABELS:
        return torch.where(best > 0.5, channel + 1, 0)
    # Oedema 2, then necrotic core 1, then enhancing 3: steps of 2, -1 and 2 over the nested regions.
    nested = (scores > 0.5).int().cumprod(dim=1)
    return 2 * nested[:, 0] - nested[:, 1] + 2 * nested[:, 2]


@TARGETS
def test_decoding_is_what_the_greatest_score_says_however_the_axes_lie(target: Target) -> None:
    # Few values, so that many voxels have a tie.
    scores = torch.randint(0, 5, (2, target.channels, 7, 9, 11), generator=torch.Generator().manual_seed(3)) / 4
    before, expected = scores.clone(), plainly(target, scores).long()
    assert torch.equal(target.decode(scores).long(), expected)
    turned = scores.flip(2).permute(0, 1, 4, 3, 2)
    assert torch.equal(target.decode(turned).long(), expected.flip(1).permute(0, 3, 2, 1))
    assert torch.equal(scores, before), "what was decoded is left as it was"


@TARGETS
def test_scores_that_carry_gradients_are_decoded_too(target: Target) -> None:
    logits = torch.randn(1, target.channels, 5, 5, generator=torch.Generator().manual_seed(4))
    scores = target.activate(logits.clone().requires_grad_())
    assert torch.equal(target.decode(scores), target.decode(target.activate(logits)))
    assert scores.requires_grad


def test_a_region_s_logit_is_that_of_its_classes_probabilities_together() -> None:
    logits = torch.randn(2, 4, 3, 3, dtype=torch.float64) * 5
    necrosis, oedema, enhancing = logits.softmax(1)[:, 1:].unbind(1)
    together = torch.stack([necrosis + oedema + enhancing, necrosis + enhancing, enhancing], dim=1)
    torch.testing.assert_close(region_logits(logits).sigmoid(), together)
    # Where probabilities end in 0 or 1, logits go on.
    assert region_logits(torch.tensor([[[200.0], [0.0], [-50.0], [0.0]]])).flatten().tolist() == pytest.approx(
        [0.6931472 - 200, 0.6931472 - 200, -200.0], rel=1e-6
    )
