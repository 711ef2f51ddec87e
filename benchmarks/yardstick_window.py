"""Our sliding window beside MONAI's: the same network, windows, overlap and Gaussian on the same brain.

python benchmarks/yardsticks.py --only window

Before anything is timed, both must give the same scores in float32 at every voxel of the brain. (Elsewhere they may
differ: we predict no window without a single voxel of brain.) A second yardstick is MONAI's window over the whole
scan, which is what most scripts run; its windows lie elsewhere, so its masks can only be alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from briefly_trained import FLAIR, Trained
from monai.inferers import sliding_window_inference
from torch import Tensor
from turns import Row, by_turns, tell_ratios

from limbeck.anatomy import Label, Modality
from limbeck.batch import View
from limbeck.data.geometry import Box
from limbeck.inference.sliding import sliding_window
from limbeck.methods.precision import uses_bf16

OURS = "ours"
WHOLE = "MONAI over the whole scan"
# Windows of a batch may be rounded otherwise than one by one.
SAME_SCORES = 1e-4
OVERLAP = 0.5


def measure(row: Row, trained: Trained, window: int, rounds: int) -> None:
    """All rows about windows over one brain."""
    case = trained.cohort.cases[0]
    scan = case.restore(torch.from_numpy(case.images(Modality.FLAIR).copy()).float()[None])[0]
    box = Box.around((scan != 0).numpy())
    size = "x".join(map(str, box.shape))
    for number in ("float32", "bf16") if uses_bf16("auto", torch.device("cpu")) else ("float32",):
        ways = _ways(trained, scan[box.slices], scan, window, number == "bf16")
        _tell_agreement(row, {way: run() for way, run in ways.items()}, scan, box, number)
        seconds = by_turns(ways, rounds)
        how = f"brain of {size} voxels, {window}^3 windows, overlap {OVERLAP:g}, {number}, median of {rounds}"
        for way, values in seconds.items():
            row(f"sliding window, {way}", f"{statistics.median(values):.2f} s", how)
        tell_ratios(row, seconds, OURS, f"sliding window in {number}")


def _ways(trained: Trained, brain: Tensor, whole: Tensor, window: int, bf16: bool) -> dict[str, Callable[[], Tensor]]:
    """Ways to scores `[C,D,H,W]`, of `[D,H,W]` each."""
    method, patch = trained.method, (window, window, window)
    images = torch.zeros(len(Modality), *brain.shape)
    images[Modality.FLAIR] = brain
    available = torch.tensor(FLAIR.mask())
    background = torch.zeros(method.target.channels)
    background[Label.BACKGROUND] = 1

    def of_view(view: View) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return method.predict(view)

    def of_images(crops: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return method.target.activate(method(crops).logits)

    @torch.inference_mode()
    def ours() -> Tensor:
        return sliding_window(of_view, images, available, patch, OVERLAP, background=background)

    @torch.inference_mode()
    def theirs(volume: Tensor, batch: int) -> Tensor:
        scores = sliding_window_inference(volume[None, None], patch, batch, of_images, OVERLAP, mode="gaussian")
        return scores[0]

    return {
        OURS: ours,
        "MONAI by one window": lambda: theirs(brain, 1),
        "MONAI by four windows": lambda: theirs(brain, 4),
        WHOLE: lambda: theirs(whole, 4),
    }


def _tell_agreement(row: Row, scores: dict[str, Tensor], scan: Tensor, box: Box, number: str) -> None:
    """A row for each yardstick: how far scores lie apart, and how alike the masks are.

    Raises:
        SystemExit: float32 scores of the same windows differ.
    """
    brain = scan[box.slices] != 0
    ours = scores[OURS][:, brain]
    for way, found in scores.items():
        if way == OURS:
            continue
        theirs = (found[(slice(None), *box.slices)] if way == WHOLE else found)[:, brain]
        apart = float((ours - theirs).abs().max())
        if number == "float32" and way != WHOLE and not apart <= SAME_SCORES:
            raise SystemExit(f"{way}: scores differ from ours by {apart:.1e}: expected at most {SAME_SCORES:.0e}")
        one, other = (values.argmax(0) != Label.BACKGROUND for values in (ours, theirs))
        dice = 2 * int((one & other).sum()) / max(int(one.sum() + other.sum()), 1)
        same = "the same windows" if way != WHOLE else "windows that lie elsewhere"
        row(f"agreement with {way}, {number}", f"{apart:.0e}", f"largest difference of scores, {same}; Dice {dice:.4f}")
