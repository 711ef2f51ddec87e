"""NIfTI files, read with distrust.

Sizes that a header declares are held against a limit, and against what the file can hold, before memory is asked for.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from limbeck.data.grid import Grid
from limbeck.data.header import check_affine, check_dimensions, check_voxels, warn_unplaced
from limbeck.data.source import Source
from limbeck.errors import DataError

# Deflate cannot pack more than this many bytes into one.
_MAX_DEFLATE_RATIO = 1032


def unpack(sources: Sequence[Source]) -> list[tuple[NDArray[Any], Grid]]:
    """The channels of one file, scaled but not yet cast, each `[X,Y,Z]` in Fortran order."""
    path = sources[0].path
    image, grid = open_volume(sources[0])
    for source in sources[1:]:
        check_dimensions(source, image.shape)
    proxy = image.dataobj
    raw = _payload(path, proxy.offset + int(np.prod(image.shape, dtype=np.int64)) * proxy.dtype.itemsize)
    voxels = int(np.prod(grid.shape))
    volumes = []
    for source in sources:
        start = proxy.offset + (source.channel or 0) * voxels * proxy.dtype.itemsize
        flat = np.frombuffer(raw, proxy.dtype, count=voxels, offset=start).reshape(grid.shape, order="F")
        if (proxy.slope, proxy.inter) != (1.0, 0.0):
            flat = flat.astype(np.float32) * np.float32(proxy.slope) + np.float32(proxy.inter)
        volumes.append((flat, grid))
    return volumes


def read_grid(source: Source) -> Grid:
    """The grid alone, from the header, checked."""
    return open_volume(source)[1]


def open_volume(source: Source) -> tuple[Any, Grid]:
    """The image without its voxels, and its grid, checked."""
    path = source.path
    if not path.is_file():
        raise DataError(f"{path}: no such file: check the path, or bring the file back")
    if not path.name.endswith((".nii", ".nii.gz")):
        raise DataError(f"{path}: no NIfTI file: expected a name that ends in .nii or .nii.gz")
    try:
        image: Any = nib.load(path)
        shape = tuple(int(size) for size in image.shape)
        _check_size(path, shape, image.dataobj)
        check_dimensions(source, shape)
        grid = Grid.from_header((shape[0], shape[1], shape[2]), image.header)
    except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError, AttributeError) as error:
        raise DataError(f"{path}: unreadable as NIfTI ({_first_line(error)}): copy or export it again") from error
    check_affine(source, grid.affine)
    if grid.unplaced:
        warn_unplaced(source, "neither qform nor sform", grid.orientation)
    return image, grid


def _check_size(path: Path, shape: tuple[int, ...], proxy: Any) -> None:
    """Refuse what the header declares if no scan has it or the file cannot hold it."""
    voxels = check_voxels(Source(path), shape)
    if proxy.dtype.kind not in "iuf":
        raise DataError(f"{path}: holds voxels of type {proxy.dtype}: expected whole numbers or floats")
    declared = int(proxy.offset) + voxels * proxy.dtype.itemsize
    size = path.stat().st_size
    if declared > size * (_MAX_DEFLATE_RATIO if path.name.endswith(".gz") else 1):
        raise DataError(
            f"{path}: truncated, {size} bytes where its header declares {declared}: copy or download it again"
        )


def _payload(path: Path, wanted: int) -> bytes | memoryview:
    """The first `wanted` bytes of a file's content. Unpacking stops there, so a bomb cannot go off."""
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): check its permissions") from error
    if not path.name.endswith(".gz"):
        return packed
    parts: list[bytes] = []
    missing = wanted
    try:
        # Block-compressed files are a chain of gzip members.
        while missing > 0 and packed:
            member = zlib.decompressobj(wbits=31)
            # One byte more than is wanted makes zlib read on to the checksum and compare it.
            parts.append(member.decompress(packed, missing + 1))
            missing -= len(parts[-1])
            if missing >= 0 and not member.eof:
                raise DataError(f"{path}: truncated, its compressed data have no end: copy or download it again")
            packed = member.unused_data
    except zlib.error as error:
        raise DataError(f"{path}: damaged gzip ({error}): copy or download it again") from error
    if missing > 0:
        raise DataError(f"{path}: truncated: {missing} of {wanted} bytes are missing: copy or download it again")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
