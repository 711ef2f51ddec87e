"""The three output spaces of a network: how labels are encoded, logits activated, and scores decoded."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

from limbeck.anatomy import Label, Region

_TISSUES = (Label.NECROTIC_CORE, Label.OEDEMA, Label.ENHANCING)


class Target(Enum):
    """What the output channels mean. Scores are activated logits, in [0, 1]."""

    SOFTMAX_LABELS = "softmax-labels"  # background, necrotic core, oedema, enhancing: exclusive
    SIGMOID_REGIONS = "sigmoid-regions"  # WT, TC, ET: nested
    SIGMOID_LABELS = "sigmoid-labels"  # necrotic core, oedema, enhancing: one decision each

    @property
    def channels(self) -> int:
        """Output channels of a network for this target."""
        return 4 if self is Target.SOFTMAX_LABELS else 3

    def encode(self, labels: Tensor) -> Tensor:
        """Labels `[B,*]` to one channel a class, `[B,C,*]` float. A resection cavity belongs to no class."""
        if self is Target.SIGMOID_REGIONS:
            return regions(labels)
        tissues = [labels == int(label) for label in _TISSUES]
        if self is Target.SOFTMAX_LABELS:
            # Joined one by one: `any` over a stack's channels takes five times as long.
            tissues = [~(tissues[0] | tissues[1] | tissues[2]), *tissues]
        return torch.stack(tissues, dim=1).float()

    def activate(self, logits: Tensor) -> Tensor:
        """Logits `[B,C,*]` to scores of the same shape, float32."""
        if self is Target.SOFTMAX_LABELS:
            return logits.float().softmax(dim=1)
        return logits.float().sigmoid()

    def decode(self, scores: Tensor) -> Tensor:
        """Scores `[B,C,*]` to a label map `[B,*]` uint8; thresholds are 0.5, regions are read from outside in."""
        if self is Target.SOFTMAX_LABELS:
            return _greatest(scores)[1]
        if self is Target.SIGMOID_LABELS:
            best, tissue = _greatest(scores)
            return (tissue + 1).mul_(best > 0.5)
        whole, core, enhancing = (scores > 0.5).unbind(dim=1)
        core = whole & core
        decoded = whole.to(torch.uint8).mul_(int(Label.OEDEMA))
        decoded.masked_fill_(core, int(Label.NECROTIC_CORE))
        return decoded.masked_fill_(core & enhancing, int(Label.ENHANCING))


def _greatest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The greatest score of `[B,C,*]` and its channel as uint8, each `[B,*]`; of equals, the first.

    What `max` gives, which takes forty times as long on a CPU, and more where the axes were turned.
    """
    # `out` below takes nothing that carries gradients; none would flow through a choice of labels.
    scores = scores.detach()
    best = scores[:, 0].clone()
    channel = torch.zeros_like(best, dtype=torch.uint8)
    for index in range(1, scores.shape[1]):
        greater = (scores[:, index] > best).view(torch.uint8)
        # No earlier channel has a higher number, so the maximum is what was found last.
        torch.maximum(channel, greater.mul_(index), out=channel)
        torch.maximum(best, scores[:, index], out=best)
    return best, channel


def regions(labels: Tensor) -> Tensor:
    """Labels `[B,*]` to the nested regions WT, TC, ET `[B,3,*]` as 0 or 1, float."""
    return torch.stack([inside(labels, region) for region in Region], dim=1).float()


def region_logits(logits: Tensor) -> Tensor:
    """Logits `[B,4,*]` of exclusive classes to those of the nested regions WT, TC, ET, `[B,3,*]`.

    The sigmoid of a region's logit is the sum of its classes' probabilities: log(p / (1 - p)) is the log-sum-exp of the
    logits inside less that of those outside.
    """
    classes = (Label.BACKGROUND, *_TISSUES)
    inner = [[index for index, label in enumerate(classes) if label in region.labels] for region in Region]
    outer = [[index for index in range(len(classes)) if index not in own] for own in inner]
    found = [
        logits[:, own].logsumexp(dim=1) - logits[:, others].logsumexp(dim=1)
        for own, others in zip(inner, outer, strict=True)
    ]
    return torch.stack(found, dim=1)


def inside(labels: Tensor, region: Region) -> Tensor:
    """Where a label map lies in a region: bool, of the labels' shape."""
    # A table is ten times faster than torch.isin.
    members = torch.tensor([label in region.labels for label in Label], device=labels.device)
    return members[labels.long()]
