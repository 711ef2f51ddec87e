"""MetaImage and NRRD files: read through SimpleITK (the extra `[itk]`), label maps written without it.

ITK's millimetres grow to the patient's left and back (LPS); a `Grid`'s grow to the right and front (RAS+).
"""

from __future__ import annotations

import gzip
import os
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.data.grid import Grid
from limbeck.data.header import check_affine, check_dimensions, check_extent, check_voxels
from limbeck.data.itk_header import TextHeader, read_header
from limbeck.data.source import Source, shown, suffix
from limbeck.durable import replacing
from limbeck.errors import DataError, UsageError

_PIXEL = re.compile(r"(?:vector of )?(\d+)-bit (?:(?:un)?signed integer|float)")

# Two threads that save and restore descriptor 2 in turns would leave the process without a standard error.
_MUTING = Lock()


@dataclass(frozen=True)
class _Opened:
    reader: Any
    header: TextHeader
    shape: tuple[int, ...]
    bytes: int
    grid: Grid


def read_grid(source: Source) -> Grid:
    """The grid alone, from the header, checked.

    Raises:
        UsageError: SimpleITK is not installed.
        DataError: the file is missing or no such file, or its header declares what no scan has or the file cannot hold.
    """
    return _open(source).grid


def unpack(sources: Sequence[Source]) -> list[tuple[NDArray[Any], Grid]]:
    """The channels of one file, not yet cast, each `[X,Y,Z]` in Fortran order.

    Raises:
        UsageError: SimpleITK is not installed.
        DataError: as `read_grid`, or the voxels are truncated or damaged.
    """
    opened = _open(sources[0])
    for source in sources[1:]:
        check_dimensions(source, opened.shape)
    opened.header.check_packed(opened.bytes)
    sitk = _simpleitk(sources[0].path)
    try:
        with _muted():
            image = opened.reader.Execute()
    except RuntimeError as error:
        raise _unreadable(sources[0].path) from error
    # A view of ITK's own memory, `[Z,Y,X]`: time in front, components of vectors at the end.
    voxels = sitk.GetArrayViewFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        voxels = np.moveaxis(voxels, -1, 0)
    channels = voxels.reshape(-1, *opened.grid.shape[::-1])
    return [(channels[source.channel or 0].copy().transpose(), opened.grid) for source in sources]


def write(path: Path, codes: NDArray[np.uint8], grid: Grid) -> None:
    """Write `[X,Y,Z]` uint8 on `grid` durably as .mha or .nrrd, by the path's ending.

    Raises:
        ResourceError: the disk is full.
    """
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    flat = codes.tobytes(order="F")
    if suffix(path) == ".nrrd":
        packed = gzip.compress(flat, mtime=0)
        text = _nrrd_text(codes.shape, affine)
    else:
        packed = zlib.compress(flat)
        text = _meta_text(codes.shape, affine, len(packed))
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("ascii") + packed)


def _open(source: Source) -> _Opened:
    path = source.path
    # Before it is said what would be needed to read a file that is none.
    header = read_header(path)
    sitk = _simpleitk(path)
    check_voxels(source, header.sizes)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if suffix(path) in (".nrrd", ".nhdr") else "MetaImageIO")
    reader.SetFileName(str(path))
    try:
        with _muted():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path) from error
    pixel = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    match = _PIXEL.fullmatch(pixel)
    if match is None:
        raise DataError(f"{shown(path)}: holds voxels of type {pixel}: expected whole numbers or floats")
    components = int(reader.GetNumberOfComponents())
    shape = tuple(int(size) for size in reader.GetSize()) + ((components,) if components > 1 else ())
    voxels = check_voxels(source, shape)
    header.check_length(voxels * int(match[1]) // 8)
    check_dimensions(source, shape)
    grid = _grid(source, shape, reader, header.lacks)
    return _Opened(reader, header, shape, voxels * int(match[1]) // 8, grid)


def _grid(source: Source, shape: tuple[int, ...], reader: Any, lacks: str) -> Grid:
    dimensions = reader.GetDimension()
    directions = np.array(reader.GetDirection(), np.float64).reshape(dimensions, dimensions)[:3, :3]
    spacing = np.array(reader.GetSpacing()[:3], np.float64)
    if not (spacing > 0).all():
        edges = ", ".join(f"{edge:g}" for edge in spacing)
        raise DataError(f"{shown(source.path)}: voxels are {edges} mm long: expected lengths above 0; export it again")
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = reader.GetOrigin()[:3]
    affine[:2] *= -1
    check_affine(source, affine)
    check_extent(source, shape, affine)
    return Grid.of((shape[0], shape[1], shape[2]), affine, lacks)


@contextmanager
def _muted() -> Iterator[None]:
    """Send what C++ code writes to standard error nowhere: it says in many lines what one of ours will say.

    ITK's own switch silences its warnings, but not MetaIO, which writes to descriptor 2 of the whole process. So one
    thread at a time reads through ITK; what another one writes to standard error meanwhile is lost, and a process that
    it starts then has none.
    """
    with _MUTING:
        yield from _muted_alone()


def _muted_alone() -> Iterator[None]:
    try:
        kept = os.dup(2)
    except OSError:
        # There is no standard error, so nothing to keep clean.
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        sys.stderr.flush()
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _simpleitk(path: Path) -> Any:
    try:
        import SimpleITK  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise UsageError(f"{shown(path)}: needs SimpleITK: pip install 'limbeck[itk]'") from error
    return SimpleITK


def _unreadable(path: Path) -> DataError:
    # ITK's own words fill many lines with addresses and paths of its build; --debug shows them.
    return DataError(f"{shown(path)}: ITK cannot read it, it is damaged or unusual: copy or export it again")


def _meta_text(shape: tuple[int, ...], affine: NDArray[np.float64], packed: int) -> str:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # MetaImage lists the directions axis by axis.
    directions = (affine[:3, :3] / spacing).T
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(packed),
        "TransformMatrix": _numbers(directions),
        "Offset": _numbers(affine[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _numbers(spacing),
        "DimSize": " ".join(map(str, shape)),
        "ElementType": "MET_UCHAR",
        "ElementDataFile": "LOCAL",
    }
    return "".join(f"{name} = {value}\n" for name, value in fields.items())


def _nrrd_text(shape: tuple[int, ...], affine: NDArray[np.float64]) -> str:
    directions = " ".join(f"({_numbers(affine[:3, axis], ',')})" for axis in range(3))
    fields = {
        "type": "unsigned char",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, shape)),
        "space directions": directions,
        "kinds": "domain domain domain",
        "encoding": "gzip",
        "space origin": f"({_numbers(affine[:3, 3], ',')})",
    }
    return "NRRD0004\n" + "".join(f"{name}: {value}\n" for name, value in fields.items()) + "\n"


def _numbers(values: NDArray[np.float64], separator: str = " ") -> str:
    return separator.join(repr(float(value)) for value in values.ravel())
