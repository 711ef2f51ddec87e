"""A model as its user has it: one run, or a pack of them, that segments from whatever sequences there are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.anatomy import Modality, Subset
from limbeck.data.grid import PLACE_IT, Grid
from limbeck.data.plausibility import doubts
from limbeck.data.preprocess import GridsDifferError, Prepared, Scan, read_scans, to_model_space
from limbeck.data.source import Source
from limbeck.errors import DataError, ModelError, UsageError
from limbeck.inference.choice import Choice
from limbeck.inference.choice import choose as choose_members
from limbeck.inference.flips import flipped_mean
from limbeck.inference.member import Member, member_of_run
from limbeck.inference.pack import is_pack, read_pack
from limbeck.inference.postprocess import DropSmallEnhancing
from limbeck.inference.predictor import Predictor
from limbeck.inference.scored import Scored
from limbeck.inference.segmentation import Segmentation
from limbeck.methods.precision import Precision, pick_device, uses_bf16
from limbeck.methods.saved import load_method

# Trained on synthetic patients alone; its README.md is its model card.
SHIPPED = Path(__file__).parents[1] / "shipped"

# A file, or an array `[X,Y,Z]` and its affine `[4,4]`, voxel indices to millimetres in RAS+ scanner space.
Image: TypeAlias = "str | Path | Source | tuple[NDArray[Any], NDArray[Any]]"


@dataclass(frozen=True, eq=False)
class Patient:
    """What was read of a patient: all that prediction needs, without a network or a tensor.

    Attributes:
        prepared: the used sequences in model space.
        choice: which sequences and members are used.
        warnings: what a reader of the mask should know, a line each.
    """

    prepared: Prepared
    choice: Choice
    warnings: tuple[str, ...]


class Model:
    """One or more trained methods that share a space; those that suit a patient are read when first needed.

    `read` may run in one thread while `compute` runs in another.

    Attributes:
        name: of the run or the pack; it does not depend on where the folder lies.
        members: the methods, each with its card.
    """

    def __init__(
        self, name: str, members: tuple[Member, ...], device: str = "auto", precision: Precision = "auto"
    ) -> None:
        self.name = name
        self.members = members
        self._device = pick_device(device)
        self._bf16 = uses_bf16(precision, self._device)
        self._lock = Lock()
        self._loaded: dict[str, Predictor] = {}

    @classmethod
    def load(cls, folder: str | Path | None = None, device: str = "auto", precision: Precision = "auto") -> Model:
        """A model from a run (its best checkpoint), a checkpoint folder, or a pack; by default the one in the box.

        Raises:
            ModelError: the folder is missing, holds no model, or holds a damaged one.
            UsageError: the device is not there.
        """
        # A pack's members are read when they are needed, from wherever the process then stands.
        root = SHIPPED if folder is None else Path(folder).absolute()
        if is_pack(root):
            pack = read_pack(root)
            return cls(pack.name, pack.members, device, precision)
        member = member_of_run(root)
        model = cls(member.name, (member,), device, precision)
        # It is needed whatever is given, so a damaged one is told now.
        model._predictors((member.name,))
        return model

    def choose(self, given: Subset) -> Choice:
        """What is used of the sequences that are given: see `choice.choose`.

        Raises:
            UsageError: no member can work with them; the message says what is missing.
        """
        return choose_members(given, [member.service for member in self.members])

    def read(self, images: Mapping[str, Image], *, resample: bool = False) -> Patient:
        """Read the sequences that will be used, and bring them to model space; no network is touched.

        Args:
            images: role (`flair`, `t1`, `t1ce`, `t2`, or an alias) -> a file, or an array `[X,Y,Z]` and its affine;
                co-registered and skull-stripped.
            resample: bring sequences on different grids onto one of them, by their headers.

        Raises:
            DataError: a file is missing or invalid, or the grids differ.
            UsageError: a role is unknown or twice, an array or affine has a wrong shape, or no member can work with
                what is given.
        """
        scans: dict[Modality, Scan] = {}
        for role, image in images.items():
            modality = Modality.parse(role)
            if modality in scans:
                raise UsageError(f"sequence {modality.role} is given twice")
            scans[modality] = _scan(modality, image)
        choice = self.choose(Subset(scans))
        warnings = [
            f"{modality.role} was given and not used: the model has a {choice}"
            for modality in sorted(scans.keys() - choice.subset)
        ]
        try:
            read = read_scans({modality: scans[modality] for modality in sorted(choice.subset)}, align=resample)
        except GridsDifferError as error:
            raise DataError(f"{error}; if they are registered, --resample (resample=True) does the rest") from error
        # Before the images are turned and normalised, which would hide what is odd about them.
        if read.grid.doubt:
            warnings.append(f"{read.grid.doubt}: {PLACE_IT}")
        warnings += [*read.notes, *(f"{doubt.what}: {doubt.remedy}" for doubt in doubts(read.arrays, read.grid))]
        card = self.members[0].card
        prepared = to_model_space(read, card.spacing_mm, card.normalisation)
        return Patient(prepared, choice, tuple(warnings))

    @torch.inference_mode()
    def compute(
        self, patient: Patient, *, flips: bool = False, processing: DropSmallEnhancing | None = None
    ) -> Segmentation:
        """Segment a patient that `read` has read.

        Args:
            patient: read by this model.
            flips: average over the eight mirror images; eight times the work.
            processing: a step for the finished label map; scores stay as they are.

        Raises:
            ModelError: a member's files were damaged or taken away since the model was loaded, or its scores are no
                numbers.
        """
        # All that follows is of the brain alone: around it there is nothing to be found.
        brain = patient.prepared.brain()
        images = torch.from_numpy(patient.prepared.images[(slice(None), *brain.slices)])
        total: torch.Tensor | None = None
        predictors = self._predictors(patient.choice.members)
        for predictor in predictors:
            scores = _scores(predictor, images, patient.choice.subset, flips)
            total = scores if total is None else total.add_(scores)
        assert total is not None, "a choice has members"
        if not bool(torch.isfinite(total).all()):
            names = ", ".join(patient.choice.members)
            raise ModelError(f"{names}: it gives scores that are no numbers: its weights are none of a trained method")
        geometry = patient.prepared.geometry
        scored = Scored(total.div_(len(predictors)), brain, geometry, predictors[0].card.target)
        labels = scored.labels()
        if processing is not None:
            labels = processing.apply(labels, geometry.grid.voxel_mm3)
        return Segmentation(labels, scored, geometry.grid, scored.target, patient.choice, patient.warnings)

    def segment(
        self,
        images: Mapping[str, Image],
        *,
        flips: bool = False,
        resample: bool = False,
        processing: DropSmallEnhancing | None = None,
    ) -> Segmentation:
        """Segment one patient: `compute` of what `read` gives; arguments and errors are theirs."""
        return self.compute(self.read(images, resample=resample), flips=flips, processing=processing)

    def identity(self) -> dict[str, object]:
        """What decides a mask, besides the scans and options: the same whatever folder the model lies in."""
        return {"name": self.name, "members": [member.identity() for member in self.members]}

    def _predictors(self, names: tuple[str, ...]) -> list[Predictor]:
        """The members of these names, in memory; those of the choice before are let go, to bound memory."""
        with self._lock:
            if missing := [name for name in names if name not in self._loaded]:
                self._loaded = {name: one for name, one in self._loaded.items() if name in names}
                for member in self.members:
                    if member.name in missing:
                        self._loaded[member.name] = self._predictor(member)
            return [self._loaded[name] for name in names]

    def _predictor(self, member: Member) -> Predictor:
        method = load_method(member.folder, member.card).eval()
        return Predictor(method, member.card, self._device, self._bf16)


def _scores(predictor: Predictor, images: torch.Tensor, subset: Subset, flips: bool) -> torch.Tensor:
    """Scores `[C,D,H,W]` of one member."""
    if flips:
        return flipped_mean(lambda turned: predictor.scores(turned, subset), images)
    return predictor.scores(images, subset)


def _scan(modality: Modality, image: object) -> Scan:
    """A file as a source, an array with a grid.

    Raises:
        UsageError: it is neither, the array has not three axes, or the affine is not an invertible `[4,4]`.
    """
    if isinstance(image, Source):
        return image
    if isinstance(image, str | os.PathLike):
        return Source(Path(image))
    if not isinstance(image, tuple) or len(image) != 2:
        kind = type(image).__name__
        raise UsageError(
            f"{modality.role}: a {kind}: expected a path, or an array [X,Y,Z] and its affine: (array, affine)"
        )
    array, affine = np.asarray(image[0]), np.asarray(image[1], np.float64)
    if array.ndim != 3 or array.dtype.kind not in "uif":
        raise UsageError(f"{modality.role}: an array of {array.dtype} {list(array.shape)}: expected numbers [X,Y,Z]")
    whole = affine.shape == (4, 4) and bool(np.isfinite(affine).all())
    if not whole or not abs(np.linalg.det(affine[:3, :3])) > 0 or not np.array_equal(affine[3], (0, 0, 0, 1)):
        raise UsageError(
            f"{modality.role}: no affine [4,4] from voxels to millimetres: expected one, such as nibabel's"
        )
    x, y, z = array.shape
    return array, Grid.of((x, y, z), affine)
