"""The JSON beside a file of ONNX: all that a program needs to feed it and to read its scores, but for the scans."""

from __future__ import annotations

from typing import Any

import torch

from limbeck.anatomy import Label, Modality, Region
from limbeck.export.agreement import TOLERANCE, Agreement
from limbeck.export.graph import AVAILABLE, IMAGES, OPSET, SCORES
from limbeck.inference.member import Member
from limbeck.inference.predictor import Predictor
from limbeck.methods.base import NetworkSettings
from limbeck.normalisation import Normalisation
from limbeck.target import Target
from limbeck.version import __version__

FORMAT = 1
_AXES = ["depth", "height", "width"]
_NORMALISED = {
    Normalisation.Z_SCORE: "each sequence by itself: zero mean and unit deviation over its own non-zero voxels; "
    "voxels outside stay 0",
    Normalisation.RAW: "none: intensities as the scanner gave them; voxels outside the head are 0",
}
_DECODED = {
    Target.SOFTMAX_LABELS: "the channel with the greatest score, the first of equals",
    Target.SIGMOID_REGIONS: "where WT is at most 0.5 background; else where TC is at most 0.5 oedema; else where ET is "
    "at most 0.5 necrotic core; else enhancing",
    Target.SIGMOID_LABELS: "background where no score is above 0.5; else the channel with the greatest",
}


def describe(member: Member, settings: NetworkSettings) -> dict[str, Any]:
    """What the member's card decides: the same each time it is exported."""
    card = member.card
    sequences = list(Modality) if member.generalist else sorted(card.subsets[0])
    return {
        "format": FORMAT,
        "limbeck": __version__,
        "torch": torch.__version__,
        "opset": OPSET,
        "model": {
            **member.identity(),
            "kind": "generalist" if member.generalist else "specialist",
            "subsets": [str(one) for one in card.subsets],
            "network": settings.network,
            "width": settings.width,
        },
        "inputs": _inputs(member, [modality.role for modality in sequences], settings.stride),
        "output": {
            "name": SCORES,
            "type": "float32",
            "axes": ["batch", "channel", *_AXES],
            "channels": channels(card.target),
            "target": card.target.value,
            "decode": _DECODED[card.target],
            "label_codes": {label.title: int(label) for label in Label if label != Label.RESECTION_CAVITY},
        },
        "space": {
            "axes": "depth grows towards superior, height towards anterior, width towards the patient's right, "
            "as near as flips and permutations of the scan's axes come",
            "spacing_mm": card.spacing_mm,
            "normalisation": card.normalisation.value,
            "normalised": _NORMALISED[card.normalisation],
            "skull": "stripped: voxels outside the brain are 0",
        },
        "window": {
            "patch": list(card.patch),
            "overlap": Predictor.overlap,
            "slides": "over the box of the used sequences' non-zero voxels; zeros around a box smaller than the patch",
            "weights": "Gaussian, standard deviation an eighth of the patch, at least 0.001 of the centre's",
            "empty": "a window of zeros is not computed: it is background",
        },
    }


def channels(target: Target) -> list[str]:
    """What each channel of the scores means, in order."""
    if target is Target.SIGMOID_REGIONS:
        return [region.name for region in Region]
    tissues = [label.title for label in (Label.NECROTIC_CORE, Label.OEDEMA, Label.ENHANCING)]
    return [Label.BACKGROUND.title, *tissues] if target is Target.SOFTMAX_LABELS else tissues


def made(name: str, size: int, digest: str, agreement: Agreement) -> dict[str, Any]:
    """What is known once the file is made: which it is, and how near its scores came to torch's."""
    return {
        "file": {"name": name, "bytes": size, "sha256": digest},
        "agreement": {
            "largest_difference": agreement.largest_difference,
            "tolerance": TOLERANCE,
            "image_shapes": [[batch, *space] for batch, *space in agreement.shapes],
        },
    }


def _inputs(member: Member, sequences: list[str], stride: int) -> list[dict[str, Any]]:
    images = {
        "name": IMAGES,
        "type": "float32",
        "axes": ["batch", "sequence", *_AXES],
        "sequences": sequences,
        "sides_are_multiples_of": stride,
    }
    if not member.generalist:
        return [images]
    available = {
        "name": AVAILABLE,
        "type": "bool",
        "axes": ["batch", "sequence"],
        "sequences": sequences,
        "meaning": "which sequences may be looked at; the others leave no trace, whatever stands in their channels",
    }
    return [images, available]
