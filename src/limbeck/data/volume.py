"""Volumes: read in place, checked before they are used, and written back on the grid that they came from.

A volume is a file (NIfTI, MetaImage or NRRD, by its name) or the folder of a DICOM series. Whatever is wrong with it is
said in one line, `file: what was found: what would be right`.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import CANONICAL_SCHEME, LABEL_SCHEMES, Label, LabelScheme
from limbeck.data import dicom, itk, nifti
from limbeck.data.grid import Grid, by, nifti_header
from limbeck.data.itk_header import read_header
from limbeck.data.source import ITK, NIFTI, SUFFIXES, Source, looked_up, shown, suffix
from limbeck.durable import replacing
from limbeck.errors import DataError, UsageError, nearest

# Programs spread a few codes over 8 bits or more; what lies in coarser steps may be anything.
_COARSEST_STEP = 0.1
# Of a value of a few units, where slope and intercept have 32 bits.
_SLOPE_ERROR = 1e-6
# A detached header would make a label map two files, which no rename replaces at once.
_WRITTEN = (*NIFTI, ".mha", ".nrrd")


class _Format(Protocol):
    """What a format's module offers."""

    def read_grid(self, source: Source) -> Grid:
        """The grid alone, from the header, checked."""

    def unpack(self, sources: Sequence[Source]) -> list[tuple[NDArray[Any], Grid]]:
        """The channels of one volume, scaled but not yet cast, each `[X,Y,Z]`."""


def read_volume(source: Source) -> tuple[NDArray[np.float32], Grid]:
    """One image as `[X,Y,Z]` float32 in the file's own axes and units, and its grid.

    Raises:
        DataError: the file is missing, of no known format, truncated, declares absurd dimensions, has another number
            of dimensions, an unusable affine, NaN or infinite voxels, or the same value everywhere.
        UsageError: its format needs an extra that is not installed.
    """
    return read_volumes([source])[0]


def read_volumes(sources: Sequence[Source]) -> list[tuple[NDArray[np.float32], Grid]]:
    """Several channels of one file, which is unpacked once; otherwise as `read_volume`."""
    if len({source.path for source in sources}) != 1:
        return [volume for source in sources for volume in read_volumes([source])]
    volumes = _format(sources[0].path).unpack(sources)
    return [(check_image(source, voxels), grid) for source, (voxels, grid) in zip(sources, volumes, strict=True)]


def parts(path: Path) -> list[Path]:
    """The files that a volume lies in: its own, that of its voxels too, or all in the folder of a DICOM series.

    Raises:
        DataError: a detached header is damaged, a folder or an entry in it cannot be read, or a link there leads
            nowhere.
    """
    folder, there = looked_up(path)
    if folder:
        return dicom.files(path)
    if suffix(path) in ITK and there:
        return sorted({path, read_header(path).data})
    return [path]


def check_image(name: Source | str, voxels: NDArray[Any]) -> NDArray[np.float32]:
    """An image as float32, if it can be one.

    Raises:
        DataError: voxels are NaN or infinite, or all the same.
    """
    # What 32 bits cannot hold becomes infinite, which is said below.
    with np.errstate(over="ignore"):
        image = voxels.astype(np.float32, copy=False)
    if voxels.dtype.kind == "f" and not np.isfinite(image).all():
        bad = int((~np.isfinite(image)).sum())
        raise DataError(f"{name}: {bad} voxels are NaN or infinite: every voxel must be a number")
    low, high = float(image.min()), float(image.max())
    if low == high:
        raise DataError(f"{name}: every voxel is {low:g}: an image has a head in it")
    return image


def read_labels(source: Source, scheme: str) -> tuple[NDArray[np.uint8], Grid]:
    """A label map as `[X,Y,Z]` uint8 in the codes of `anatomy.Label`, and its grid.

    Raises:
        DataError: as `read_volume` (all background is allowed), or a voxel's value is no code of the scheme.
        UsageError: the scheme is not known, or the format needs an extra that is not installed.
    """
    codes = label_scheme(scheme)
    voxels, grid = _format(source.path).unpack([source])[0]
    voxels = _without_steps(source, voxels)
    table = np.full(256, 255, np.uint8)
    for code, label in codes.items():
        table[code] = int(label)
    low, high = voxels.min(), voxels.max()
    # `not (a <= b)` so that NaN is refused too.
    if not (low >= 0 and high < 256):
        raise _unknown_labels(source, voxels, scheme)
    small = voxels.astype(np.uint8)
    if voxels.dtype.kind == "f" and not np.array_equal(small, voxels):
        raise _unknown_labels(source, voxels, scheme)
    labels = table[small]
    if labels.max(initial=0) == 255:
        raise _unknown_labels(source, small, scheme)
    return labels, grid


def read_grid(source: Source) -> Grid:
    """The grid alone, from the header: no voxel is read.

    Raises:
        DataError: as `read_volume`, as far as the header shows it.
        UsageError: its format needs an extra that is not installed.
    """
    return _format(source.path).read_grid(source)


def write_labels(path: Path, labels: NDArray[Any], grid: Grid, scheme: str = "brats2018") -> None:
    """Write a label map in canonical codes, `[X,Y,Z]` on `grid`, durably as uint8 in the scheme's codes.

    The name's ending decides the format: NIfTI, where shape, affine, both forms with their codes, and units are those
    of `grid`; or .mha or .nrrd, with its shape and affine.

    Raises:
        UsageError: the name ends in none of .nii, .nii.gz, .mha, .nrrd, the shape is not the grid's, or the scheme has
            no code for a label that occurs.
        ResourceError: the disk is full.
    """
    if not path.name.endswith(_WRITTEN):
        raise UsageError(f"{shown(path)}: a label map is written as {', '.join(_WRITTEN[:-1])} or {_WRITTEN[-1]}")
    if labels.shape != grid.shape:
        raise UsageError(f"{shown(path)}: the label map is {by(labels.shape)} and its grid {by(grid.shape)}")
    codes = _to_codes(labels, scheme)
    if suffix(path) in ITK:
        itk.write(path, codes, grid)
        return
    image = nib.Nifti1Image(codes, None, nifti_header(grid.header))
    image.set_data_dtype(np.uint8)
    with replacing(path) as temporary:
        nib.save(image, temporary)


def label_scheme(name: str) -> LabelScheme:
    """The label codes that go by a name.

    Raises:
        UsageError: the name is not known.
    """
    if name not in LABEL_SCHEMES:
        raise UsageError(
            f"unknown label scheme {name!r}: expected {', '.join(LABEL_SCHEMES)}{nearest(name, LABEL_SCHEMES)}"
        )
    return LABEL_SCHEMES[name]


def _format(path: Path) -> _Format:
    """The module that reads what lies there."""
    folder, there = looked_up(path)
    if folder:
        return dicom
    ending = suffix(path)
    if ending in ITK:
        return itk
    if ending not in NIFTI and there:
        known = ", ".join(SUFFIXES)
        raise DataError(
            f"{shown(path)}: its name ends in no known format: expected {known}, or the folder of a DICOM series"
        )
    return nifti


def _without_steps(source: Source, voxels: NDArray[Any]) -> NDArray[Any]:
    """Codes as they were before a slope was put to them, as when a program saves `get_fdata()` under an old header.

    Whole numbers come back from small steps as the value that is nearest to each. If any other value occurs, they were
    no whole numbers, and all stay as they are.
    """
    step = nifti.step(source) if voxels.dtype.kind == "f" and suffix(source.path) in NIFTI else 0.0
    if not 0 < step <= _COARSEST_STEP:
        return voxels
    whole = np.round(voxels)
    near = np.abs(voxels - whole) <= step / 2 + _SLOPE_ERROR
    return whole if near.all() else voxels


def _to_codes(labels: NDArray[Any], scheme: str) -> NDArray[np.uint8]:
    codes = {int(label): code for code, label in label_scheme(scheme).items()}
    table = np.zeros(len(Label), np.uint8)
    for label in Label:
        if int(label) in codes:
            table[label] = codes[int(label)]
        elif (labels == int(label)).any():
            right = f"use {CANONICAL_SCHEME}, which has one for each"
            raise UsageError(f"label scheme {scheme} has no code for {label.title}: {right}")
    codes_out: NDArray[np.uint8] = table[labels]
    return codes_out


def _unknown_labels(source: Source, voxels: NDArray[Any], scheme: str) -> DataError:
    values = [float(value) for value in np.unique(voxels)]
    known = label_scheme(scheme)
    strange = [value for value in values if value not in known]
    fitting = [name for name, codes in LABEL_SCHEMES.items() if all(value in codes for value in values)]
    remedy = f"; its labels would fit {' or '.join(fitting)}" if fitting else ""
    # Six digits would show a code near 1 as 1, and all of them fill a page.
    shown = ", ".join(f"{value:.9g}" for value in strange[:5])
    shown += ", ..." if len(strange) > 5 else ""
    if not all(value.is_integer() for value in strange):
        cause = "which interpolation leaves: resample the segmentation again with nearest neighbour"
        return DataError(f"{source}: unknown label {shown}, {cause}")
    return DataError(f"{source}: unknown label {shown}: scheme {scheme} has {', '.join(map(str, known))}{remedy}")
