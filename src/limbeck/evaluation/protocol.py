"""Protocols: what of a scan is predicted and scored, by which metrics, and with which of a run's checkpoints.

`strict` is ours and the same for all methods. The others follow one paper each as far as it can be followed (papers
1.4, 2.4, 3.4, 4.4), and say what they leave out; they exist to stand beside that paper's table, and nothing else may be
ranked by them. A change that can move a number makes a new version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from limbeck.errors import UsageError, nearest
from limbeck.evaluation import metrics
from limbeck.evaluation.metrics import METRICS, STANDARD

Checkpoint: TypeAlias = Literal["best", "last"]

# ACN's crop in voxels of 1 mm along x, y, z, and so GKD's and RIRN's.
ACN_CROP = (160, 192, 128)


@dataclass(frozen=True)
class Protocol:
    """Rules of evaluation, by name and version.

    Attributes:
        name: as it is typed.
        version: raised with every change that can move a number.
        extent: the centre crop in voxels along x, y, z that is predicted in one window and scored alone; None for the
            whole brain by a sliding window.
        metrics: names in `metrics.METRICS` that are measured unless others are asked for.
        checkpoint: which of a run's checkpoints predicts.
        statement: the rules in words, for captions.
    """

    name: str
    version: int
    extent: tuple[int, int, int] | None
    metrics: tuple[str, ...]
    checkpoint: Checkpoint
    statement: str

    @property
    def id(self) -> str:
        """What rows of results carry."""
        return f"{self.name}-{self.version}"


_CROPPED = (
    "the centre crop of 160 x 192 x 128 voxels of 1 mm (x, y, z) is predicted in one window, and scored inside the "
    "crop alone; "
)

STRICT = Protocol(
    "strict",
    1,
    None,
    STANDARD,
    "best",
    "Protocol strict-1: the whole brain is predicted by a sliding window (half overlap, Gaussian weights) and scored "
    "in 3-D on the scan's own grid; each run predicts with its best checkpoint on validation cases, which are never "
    "scored.",
)

GKD = Protocol(
    "gkd-as-published",
    1,
    ACN_CROP,
    ("dice",),
    "last",
    f"Protocol gkd-as-published-1 (GKD, 2023): {_CROPPED}Dice by case in 3-D; last checkpoint, since the paper names "
    "no rule of selection. The crop at test is ACN's, whose numbers the paper compares with. Not reproduced: the "
    "paper's three folds, whose case lists are not published, and the single split of its baselines.",
)

PKDR = Protocol(
    "pkdr-as-published",
    1,
    None,
    ("dice",),
    "best",
    "Protocol pkdr-as-published-1 (PKDR, 2024, with ProtoKD's inference): sliding window with half overlap over the "
    "whole brain, Dice by case in 3-D, best checkpoint on validation cases apart from the test part. Not reproduced: "
    "each region's threshold by itself (here a voxel counts for a region only if it counts for those around it); "
    "windows are blended by Gaussian weights, not evenly; no crop to 140 x 192 x 192 voxels beforehand; the 200/28/57 "
    "cases of its split, unless they are given to limbeck train as a file.",
)

RIRN = Protocol(
    "rirn-as-published",
    1,
    ACN_CROP,
    ("dice",),
    "best",
    f"Protocol rirn-as-published-1 (RIRN, 2024): {_CROPPED}Dice by case in 3-D. Not reproduced: the paper chooses its "
    "checkpoint on the very cases that it reports, which flatters; here it is chosen on validation cases apart from "
    "them; nor each region's threshold by itself (here a voxel counts for a region only if it counts for those around "
    "it); nor ACN's split, which depends on the order of files on its authors' disk.",
)

MTCMKD = Protocol(
    "mtcmkd-as-published",
    1,
    None,
    ("legacy_slice_mean",),
    "best",
    "Protocol mtcmkd-as-published-1 (MTCM-KD, 2024, by its authors' code): the mean Dice over the sagittal slices of "
    "the scan's own grid, where a slice that is empty in both counts 1, so that an empty prediction scores high; "
    "comparable with no other number. Not reproduced: axial slices 3 to 146 resized to 128 x 128 x 128 voxels without "
    "interpolation before prediction and scoring; a checkpoint chosen on the scored cases.",
)

PROTOCOLS: MappingProxyType[str, Protocol] = MappingProxyType(
    {protocol.name: protocol for protocol in (STRICT, GKD, PKDR, RIRN, MTCMKD)}
)


def find(text: str) -> Protocol:
    """The protocol of a name, `strict`, or of an id as rows carry it, `strict-1`.

    Raises:
        UsageError: there is none of that name; the message names the nearest.
    """
    for protocol in PROTOCOLS.values():
        if text in (protocol.name, protocol.id):
            return protocol
    if text.startswith("choi"):
        raise UsageError(
            f"unknown protocol {text!r}: CHOI's split, crop and metric are not known, since its full text could not "
            "be read; expected strict"
        )
    raise UsageError(f"unknown protocol {text!r}: expected {', '.join(PROTOCOLS)}{nearest(text, PROTOCOLS)}")


def check_metrics(names: Sequence[str]) -> None:
    """Refuse metrics that nobody can measure, before hours are spent on predictions.

    Raises:
        UsageError: there are none, one is unknown, or one stands twice.
    """
    if not names:
        raise UsageError(f"no metrics: expected some of {', '.join(METRICS)}")
    for name in names:
        metrics.find(name)
        if list(names).count(name) > 1:
            raise UsageError(f"metric {name} is given twice: expected each once")
