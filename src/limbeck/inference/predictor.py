"""A trained method with what it needs to predict: the one path of validation, benchmark and the user's command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.anatomy import Modality, Subset
from limbeck.batch import View
from limbeck.data.cohort import CohortCase
from limbeck.errors import ModelError, UsageError
from limbeck.inference.convolution import by_blocks
from limbeck.inference.crop import CentreCrop
from limbeck.inference.scored import Scored, background
from limbeck.inference.sliding import Position, sliding_window
from limbeck.methods.base import Method
from limbeck.methods.precision import Precision, pick_device, uses_bf16
from limbeck.methods.saved import CARD, DONE, PREVIOUS, Card, load_card, load_method
from limbeck.normalisation import Normalisation


@dataclass(frozen=True)
class Predictor:
    """A method with what it needs to predict.

    Attributes:
        method: in any mode; prediction puts it into eval mode and back, unless it fails.
        card: its spacing, normalisation, patch, subsets and target.
        device: where the network runs.
        bf16: whether it runs under bf16 autocast.
        overlap: the part of a window that its neighbour covers too.
    """

    method: Method[Any]
    card: Card
    device: torch.device
    bf16: bool
    overlap: float = 0.5

    def choose(self, given: Subset) -> Subset:
        """The sequences that will be used of those given; more than the model knows are left aside.

        Raises:
            UsageError: the model needs one that is not given.
        """
        if self.method.generalist:
            return given
        (needed,) = self.card.subsets
        if not needed <= given:
            missing = "+".join(modality.role for modality in sorted(needed - given))
            raise UsageError(f"this model needs {needed} but was given {given}: {missing} is missing")
        return needed

    @torch.inference_mode()
    def scores(self, images: Tensor, subset: Subset, window: Position | None = None) -> Tensor:
        """Scores `[C,D,H,W]` float32 of a volume in the model's space.

        The window slides over the box in which the used sequences are not zero, so that neither an absent sequence
        nor the width of the empty border around the head can change the result.

        Args:
            images: `[4,D,H,W]`, normalised in the brain as the model's card says.
            subset: the sequences that may be looked at.
            window: a size in voxels that covers the volume, which is then predicted at once, border and all; None for
                the card's.
        """
        was_training = self.method.training
        self.method.to(self.device).eval()
        available = torch.tensor(subset.mask())
        outside = background(self.card.target)
        whole = outside[:, None, None, None].repeat(1, *images.shape[1:])
        everything = tuple(slice(0, length) for length in images.shape[1:])
        box = _box(images[list(subset.channels)]) if window is None else everything
        if box is not None:
            inside = sliding_window(
                self._predict,
                images[(slice(None), *box)].to(self.device),
                available.to(self.device),
                window or self.card.patch,
                self.overlap,
                background=outside.to(self.device),
            )
            whole[(slice(None), *box)] = inside.cpu()
        self.method.train(was_training)
        return whole

    def segment_case(self, case: CohortCase, subset: Subset, crop: CentreCrop | None = None) -> NDArray[np.uint8]:
        """The label map of a cohort's case on the scan's own grid, from a subset of its sequences.

        Args:
            case: the case.
            subset: the sequences that may be looked at.
            crop: predict this block alone, in one window; what lies outside is background. None for the whole brain.

        Raises:
            DataError: the case's files are damaged.
            UsageError: the model needs a sequence that is not in the subset, or other intensities than the cohort's,
                or the scan's voxels do not suit the crop.
        """
        check_normalisation(self.card, case.normalisation, f"case {case.id}")
        used = self.choose(subset)
        images = np.zeros((len(Modality), *case.shape), np.float16)
        for modality in used:
            images[modality] = case.images(modality)
        if crop is None:
            inside, box = self.scores(torch.from_numpy(images), used), case.crop
        else:
            box = crop.box(case.geometry)
            block = case.restore(torch.from_numpy(images))[(slice(None), *box.slices)]
            inside = self.scores(block, used, crop.size)
        return Scored(inside, box, case.geometry, self.card.target).labels()

    def _predict(self, view: View) -> Tensor:
        view = View(view.images.float(), view.available, view.origin)
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)
        with autocast, by_blocks(self.device, self.bf16):
            return self.method.predict(view)


def load(
    folder: str | Path,
    device: str = "auto",
    precision: Precision = "auto",
    checkpoint: Literal["best", "last"] = "best",
) -> Predictor:
    """A predictor from a run (its best checkpoint, else its last; or the other way) or from a checkpoint folder itself.

    Raises:
        ModelError: the folder is missing, holds no checkpoint, or holds a damaged one.
        UsageError: the device is not there.
    """
    found = checkpoint_folder(Path(folder), checkpoint)
    card = load_card(found)
    method = load_method(found, card)
    target_device = pick_device(device)
    return Predictor(method.eval(), card, target_device, uses_bf16(precision, target_device))


def checkpoint_folder(root: Path, checkpoint: Literal["best", "last"] = "best") -> Path:
    """Where `load` finds a model's checkpoint.

    Raises:
        ModelError: there is no such folder, it holds runs and is none, or it leads elsewhere.
    """
    if not root.is_dir():
        raise ModelError(f"model folder {root} does not exist: expected a run folder of limbeck train, or a pack")
    other = "last" if checkpoint == "best" else "best"
    places = (root / checkpoint, root / other, root)
    # Whatever lies there under a card's name: what is wrong with it is told when it is read.
    found = next((place for place in places for name in (CARD, PREVIOUS) if os.path.lexists(place / name)), root)
    if found == root and not os.path.lexists(root / CARD) and (runs := sorted(root.glob(f"*/{DONE}"))):
        raise ModelError(f"{root} is no run, but holds {len(runs)}: give one of them, such as {runs[0].parent}")
    if found != root and found.is_symlink():
        raise ModelError(f"{found}: it is a link: expected a folder of the run's own")
    return found


def check_normalisation(card: Card, found: Normalisation, where: object) -> None:
    """Refuse imported data whose intensities are not what a model learnt from.

    Raises:
        UsageError: they are normalised in another way.
    """
    wanted = card.normalisation
    if found != wanted:
        raise UsageError(
            f"{where}: intensities are {found}, this model was trained on {wanted}: "
            f"import the data to a new folder with --normalisation {wanted}"
        )


def _box(images: Tensor) -> tuple[slice, slice, slice] | None:
    """The bounding box of what is not zero in `[k,D,H,W]`; None when all is."""
    occupied = (images != 0).any(dim=0)
    edges = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        indices = torch.nonzero(occupied.amax(dim=others)).flatten()
        if len(indices) == 0:
            return None
        edges.append(slice(int(indices[0]), int(indices[-1]) + 1))
    return edges[0], edges[1], edges[2]
