"""One case of a cohort on disk: memory-mapped arrays in model space, and the reference on the scan's own grid.

A case is a folder:

    flair.npy t1.npy t1ce.npy t2.npy   float16 `[D,H,W]`, the block with the brain, normalised; only what is present
    labels.npy                         uint8 `[D,H,W]`, codes of `anatomy.Label`
    foreground.npy                     int16 `[N,4]`, a sample of labelled voxels: label, z, y, x within the block
    reference.nii.gz                   the segmentation on the scan's own grid, canonical codes
    case.json                          where it came from, how it lies, and the checksums of the files above
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from limbeck.anatomy import CANONICAL_SCHEME, Label, Modality
from limbeck.data.case import Case
from limbeck.data.geometry import Box, Geometry, Size
from limbeck.data.grid import Grid, by
from limbeck.data.preprocess import Prepared, prepare
from limbeck.data.source import Source
from limbeck.data.stored import read_array, read_object
from limbeck.data.volume import parts, read_labels, write_labels
from limbeck.durable import replacing, sha256, write_json
from limbeck.errors import DataError
from limbeck.normalisation import Normalisation

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
_RECORD = "case.json"
# Air around the brain, in voxels: networks see its edge from both sides.
_MARGIN = 4
_FOREGROUND_SAMPLE = 2000
_KINDS = {"id": (str,), "patient": (str,), "present": (list,), "spacing_mm": (int, float), "scheme": (str,)}
# Of a file in a case's folder; never one above it.
_NAME = re.compile(r"\w[\w.]*")


@dataclass(frozen=True)
class CohortCase:
    """A case as training and evaluation read it. Nothing is loaded until it is asked for.

    Attributes:
        folder: where the case lies.
        id: its name in the cohort.
        patient: who was examined.
        present: which sequences are there, in `Modality` order.
        shape: `(D, H, W)` of the block with the brain, in voxels of the cohort's spacing.
    """

    folder: Path
    id: str
    patient: str
    present: tuple[bool, bool, bool, bool]
    shape: Size

    def images(self, modality: Modality) -> NDArray[np.float16]:
        """A sequence, memory-mapped `[D,H,W]` float16, normalised in the brain, 0 outside.

        Raises:
            DataError: the case lacks the sequence, or its file is missing or damaged.
        """
        if not self.present[modality]:
            raise DataError(f"case {self.id} has no {modality.role}")
        return self._array(f"{modality.role}.npy", np.float16)

    def source(self, modality: Modality) -> Source:
        """Where the sequence was imported from.

        Raises:
            DataError: the case lacks the sequence.
        """
        if not self.present[modality]:
            raise DataError(f"case {self.id} has no {modality.role}")
        origin = self.record["sources"][modality.role]
        return Source(Path(origin["path"]), origin["channel"])

    def labels(self) -> NDArray[np.uint8] | None:
        """The segmentation in model space, memory-mapped `[D,H,W]` uint8, codes of `anatomy.Label`; or None."""
        return self._array("labels.npy", np.uint8) if self.segmented else None

    def foreground(self) -> NDArray[np.int16]:
        """A fixed sample of labelled voxels, `[N,4]`: label, z, y, x in the block; at most 2000 of each label."""
        if not self.segmented:
            return np.zeros((0, 4), np.int16)
        path = self.folder / "foreground.npy"
        array = read_array(path)
        sizes = np.array([len(Label), *self.shape])
        if array.dtype != np.int16 or array.shape[1:] != (4,) or ((array < 0) | (array >= sizes)).any():
            raise DataError(f"{path}: not labels and places in {by(self.shape)} voxels: import the cohort again")
        return np.asarray(array)

    def reference(self) -> tuple[NDArray[np.uint8], Grid]:
        """The segmentation as it was delivered: `[X,Y,Z]` on the scan's own grid, in canonical codes.

        Raises:
            DataError: the case has none, or its file is missing or damaged.
        """
        if not self.segmented:
            raise DataError(f"case {self.id} has no segmentation to compare with")
        path = self.folder / "reference.nii.gz"
        labels, _ = read_labels(Source(path), CANONICAL_SCHEME)
        if labels.shape != self.geometry.grid.shape:
            raise DataError(
                f"{path}: {by(labels.shape)} voxels where the scan has {by(self.geometry.grid.shape)}: "
                "import the cohort again"
            )
        return labels, self.geometry.grid

    def restore(self, values: Tensor) -> Tensor:
        """Values of the block, `[C,d,h,w]`, on the whole model grid, `[C,D,H,W]`: 0 outside of it."""
        return self.crop.restore(values, self.geometry.shape)

    @property
    def segmented(self) -> bool:
        """Whether the case has a segmentation."""
        return "labels.npy" in self.record["files"]

    @cached_property
    def geometry(self) -> Geometry:
        """The way between the scan's grid and the whole model grid."""
        return Geometry.from_json(self.record["geometry"])

    @cached_property
    def crop(self) -> Box:
        """Where the block lies in the whole model grid."""
        start, stop = ((int(z), int(y), int(x)) for z, y, x in self.record["crop"])
        return Box(start, stop)

    @property
    def normalisation(self) -> Normalisation:
        """What was done to the intensities."""
        return Normalisation(self.record["normalisation"])

    @property
    def label_ml(self) -> Mapping[str, float]:
        """Volume of each label that occurs, in millilitres on the scan's own grid."""
        volumes: dict[str, float] = self.record["label_ml"]
        return volumes

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of `case.json`.

        Raises:
            DataError: it is missing or damaged, or not of the case that the cohort lists.
        """
        record = read_record(self.folder)
        listed = {"id": self.id, "present": list(self.present), "shape": list(self.shape)}
        wrong = [name for name, value in listed.items() if record[name] != value]
        if wrong:
            raise DataError(
                f"{self.folder / _RECORD}: its {wrong[0]} is not that of cohort.json: import the cohort again"
            )
        return record

    def problems(self) -> list[str]:
        """What differs from the checksums: a line for each file that is missing or damaged."""
        try:
            return _damages(self.folder, self.record)
        except DataError as error:
            return [str(error)]

    def _array(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        array = read_array(self.folder / name)
        if array.shape != self.shape or array.dtype != dtype:
            raise DataError(
                f"{self.folder / name}: {array.shape} of {array.dtype}, expected {self.shape} of {dtype.__name__}: "
                "import the cohort again"
            )
        return array


def write_case(
    case: Case, folder: Path, spacing_mm: float, scheme: str, normalisation: Normalisation
) -> dict[str, Any]:
    """Read a case, bring it to model space and write its folder; returns the record that was written.

    Raises:
        DataError: a file is bad or the grids differ; a line for every problem of the case.
        ResourceError: the disk is full.
    """
    prepared, labels = _read(case, spacing_mm, scheme, normalisation)
    geometry = prepared.geometry
    turned = geometry.labels_to_model(labels) if labels is not None else None
    head = (prepared.images != 0).any(axis=0)
    box = Box.around(head if turned is None else head | (turned > 0), _MARGIN)
    arrays: dict[str, NDArray[Any]] = {
        f"{modality.role}.npy": prepared.images[modality][box.slices] for modality in sorted(case.images)
    }
    if turned is not None:
        arrays["labels.npy"] = turned[box.slices]
        arrays["foreground.npy"] = _foreground(arrays["labels.npy"], case.id)
    for name, array in arrays.items():
        with replacing(folder / name) as temporary:
            np.save(temporary, np.ascontiguousarray(array))
    if labels is not None:
        write_labels(folder / "reference.nii.gz", labels, geometry.grid, CANONICAL_SCHEME)
    record = {
        "version": VERSION,
        "id": case.id,
        "patient": case.patient,
        "present": list(case.present),
        "shape": list(box.shape),
        "spacing_mm": spacing_mm,
        "normalisation": normalisation,
        "scheme": scheme,
        "crop": [list(box.start), list(box.stop)],
        "label_ml": _volumes(labels, geometry.grid) if labels is not None else {},
        "sources": fingerprint(case),
        "geometry": geometry.to_json(),
        "files": {path.name: sha256(path) for path in sorted(folder.iterdir())},
    }
    write_json(folder / _RECORD, record)
    return record


def read_record(folder: Path) -> dict[str, Any]:
    """The content of a case's `case.json`.

    Raises:
        DataError: it is missing, no JSON, of another version, or says what no import writes.
    """
    path = folder / _RECORD
    record = read_object(path)
    if record.get("version") != VERSION:
        raise DataError(f"{path}: not of version {VERSION}: import the cohort again")
    # Cases that do not say so were imported when there was nothing else.
    record = {"normalisation": Normalisation.Z_SCORE.value, **record}
    try:
        _check_record(record)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, HeaderDataError) as error:
        raise DataError(f"{path}: damaged ({error!r:.100}): import the cohort again") from error
    return record


def _check_record(record: Mapping[str, Any]) -> None:
    """Raise an error of any kind unless everything that is read from a record later on is there and of its kind."""
    Normalisation(record["normalisation"])
    wrong = [name for name, kinds in _KINDS.items() if type(record[name]) not in kinds]
    if wrong:
        raise TypeError(wrong[0])
    geometry = Geometry.from_json(record["geometry"])
    start, stop = np.array(record["crop"])
    if sorted(geometry.axes) != [0, 1, 2] or not np.isfinite(geometry.grid.affine).all():
        raise ValueError("geometry")
    if start.dtype.kind != "i" or not ((start >= 0) & (start < stop) & (stop <= geometry.shape)).all():
        raise ValueError("crop")
    if record["shape"] != (stop - start).tolist():
        raise ValueError("shape")
    if not all(_NAME.fullmatch(name) and len(checksum) == 64 for name, checksum in record["files"].items()):
        raise ValueError("files")
    if not all(np.isfinite(volume) for volume in record["label_ml"].values()):
        raise ValueError("label_ml")
    roles = [modality.role for modality, there in zip(Modality, record["present"], strict=True) if there]
    for origin in (record["sources"][role] for role in roles):
        Source(Path(origin["path"]), origin["channel"])


def finished(
    case: Case, folder: Path, spacing_mm: float, scheme: str, normalisation: Normalisation
) -> dict[str, Any] | None:
    """The record of a folder that holds just this case, from these files, whole and undamaged; else None."""
    try:
        record = read_record(folder)
    except DataError:
        return None
    wanted = {
        "patient": case.patient,
        "spacing_mm": spacing_mm,
        "normalisation": normalisation,
        "scheme": scheme,
        "sources": fingerprint(case),
    }
    if any(record.get(key) != value for key, value in wanted.items()) or _damages(folder, record):
        return None
    return record


def fingerprint(case: Case) -> dict[str, Any]:
    """Where a case's files lie, with size and time of change: a changed file is imported again."""
    sources = {modality.role: source for modality, source in sorted(case.images.items())}
    if case.labels is not None:
        sources["labels"] = case.labels
    prints = {}
    for role, source in sources.items():
        states = _states(source.path)
        prints[role] = {
            "path": str(source.path.absolute()),
            "channel": source.channel,
            "bytes": sum(state.st_size for state in states) if states else None,
            "changed_ns": max(state.st_mtime_ns for state in states) if states else None,
        }
    return prints


def _states(path: Path) -> list[os.stat_result]:
    """Of every file of a volume, and of the folder if it has one: a slice that is taken away changes that alone."""
    try:
        files = [*parts(path), *([path] if path.is_dir() else [])]
        return [file.stat() for file in files if file.exists()]
    except (DataError, OSError):
        # Reading the volume tells what is wrong with it.
        return []


def content_hash(record: Mapping[str, Any]) -> str:
    """A hash of what a case holds, whatever folder it was imported from.

    The reference is left out, since compressed bytes differ from one zlib to another; the geometry and the labels
    stand for it.
    """
    content = {key: record[key] for key in ("id", "patient", "present", "shape", "crop", "geometry", "spacing_mm")}
    content["files"] = {name: value for name, value in record["files"].items() if name.endswith(".npy")}
    # Left out where it is the default, so that cohorts which were imported before it was recorded keep their hash.
    if record["normalisation"] != Normalisation.Z_SCORE:
        content["normalisation"] = record["normalisation"]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read(
    case: Case, spacing_mm: float, scheme: str, normalisation: Normalisation
) -> tuple[Prepared, NDArray[np.uint8] | None]:
    """The images in model space and the segmentation on the scan's grid; every problem of the case at once."""
    problems = []
    prepared, labels = None, None
    try:
        prepared = prepare(case.images, spacing_mm, normalisation)
    except DataError as error:
        problems.append(str(error))
    try:
        labels = read_labels(case.labels, scheme) if case.labels is not None else None
    except DataError as error:
        problems.append(str(error))
    if prepared is not None and labels is not None:
        difference = prepared.geometry.grid.difference(labels[1])
        if difference is not None:
            problems.append(f"{case.labels}: {difference}, compared with the images of {case.id}")
    if prepared is None or problems:
        raise DataError("\n".join(problems))
    return prepared, labels[0] if labels is not None else None


def _damages(folder: Path, record: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, checksum in record["files"].items():
        path = folder / name
        try:
            if not path.is_file():
                lines.append(f"{path}: no such file: import the cohort again")
            elif sha256(path) != checksum:
                lines.append(f"{path}: damaged, its checksum differs: import the cohort again")
        except OSError as error:
            lines.append(f"{path}: cannot be read ({error.strerror}): check its permissions")
    return lines


def _foreground(labels: NDArray[np.uint8], case_id: str) -> NDArray[np.int16]:
    rng = np.random.default_rng(zlib.crc32(case_id.encode()))
    rows = [np.zeros((0, 4), np.int16)]
    for label in Label:
        places = np.flatnonzero(labels == int(label)) if label is not Label.BACKGROUND else np.zeros(0, np.int64)
        if len(places) > _FOREGROUND_SAMPLE:
            places = np.sort(rng.choice(places, _FOREGROUND_SAMPLE, replace=False))
        z, y, x = np.unravel_index(places, labels.shape)
        rows.append(np.stack([np.full(len(places), int(label)), z, y, x], axis=1).astype(np.int16))
    return np.concatenate(rows)


def _volumes(labels: NDArray[np.uint8], grid: Grid) -> dict[str, float]:
    return {
        label.name.lower(): round(float((labels == int(label)).sum()) * grid.voxel_ml, 6)
        for label in Label
        if label is not Label.BACKGROUND and (labels == int(label)).any()
    }
