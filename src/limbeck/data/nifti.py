"""NIfTI files, read with distrust.

Sizes that a header declares are held against a limit, and against what the file can hold, before memory is asked for.
Extensions between header and voxels are passed over. What is read is as long as the header says and its checksum is
right, so that a damaged number in the header does not pass for another image.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from limbeck.data.content import GZIP, Content, opened
from limbeck.data.grid import Grid, by
from limbeck.data.header import check_affine, check_dimensions, check_extent, check_voxels
from limbeck.data.source import NIFTI, Source, shown, suffix
from limbeck.errors import DataError

# Extensions lie between the header and the voxels; those of DICOM tags are the largest, some kilobytes.
_MAX_OFFSET = 2**24
# Some writers fill the last block of a file.
_MAX_SURPLUS = 2**12
_MAX_AXIS = 2**15 - 1
_PIECE = 2**20
_FORMS = {
    "qform_code": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    "sform_code": ("srow_x", "srow_y", "srow_z"),
}
# nibabel would print what it mends, such as a pixdim[0] of 0, which is everyday.
_SILENT = logging.Logger("nibabel")
_SILENT.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Layout:
    """How the voxels lie in a file: their shape, type with its name, first byte, and the scaling to their values."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    type_name: str
    offset: int
    slope: float
    inter: float

    @property
    def end(self) -> int:
        """Bytes up to the end of the last voxel; of Python's integers, which cannot wrap."""
        return self.offset + prod(self.shape) * self.dtype.itemsize


def unpack(sources: Sequence[Source]) -> list[tuple[NDArray[Any], Grid]]:
    """The channels of one file, scaled but not yet cast, each `[X,Y,Z]` in Fortran order.

    Raises:
        DataError: the file is missing, no NIfTI, damaged, truncated, longer than declared, or not fit for a scan.
    """
    with _opened(sources[0].path) as content:
        layout, grid, read = _declared(sources[0], content)
        for source in sources[1:]:
            check_dimensions(source, layout.shape)
        content.skip(layout.offset - read)
        raw = content.read(layout.end - layout.offset)
        if content.surplus(_MAX_SURPLUS + 1) > _MAX_SURPLUS:
            raise DataError(
                f"{content.name}: goes on after the {by(layout.shape)} voxels that its header declares: "
                "its header is damaged; copy or export it again"
            )
    voxels = prod(grid.shape)
    volumes = []
    for source in sources:
        start = (source.channel or 0) * voxels * layout.dtype.itemsize
        flat = np.frombuffer(raw, layout.dtype, count=voxels, offset=start)
        volumes.append((_scaled(flat, layout).reshape(grid.shape, order="F"), grid))
    return volumes


def read_grid(source: Source) -> Grid:
    """The grid alone, from the header, checked; no voxel is read.

    Raises:
        DataError: as `unpack`, as far as the header shows it.
    """
    with _opened(source.path) as content:
        return _declared(source, content)[1]


def step(source: Source) -> float:
    """How far neighbouring values can lie apart in a file that stores whole numbers with a slope; 0 in any other.

    Raises:
        DataError: as `read_grid`.
    """
    with _opened(source.path) as content:
        layout = _declared(source, content)[0]
    return abs(layout.slope) if layout.dtype.kind in "iu" and layout.slope != 1 else 0.0


def _opened(path: Path) -> Any:
    ending = suffix(path)
    if ending not in NIFTI:
        raise DataError(f"{shown(path)}: no NIfTI file: expected a name that ends in .nii or .nii.gz")
    return opened(path, packed=ending == ".nii.gz")


def _declared(source: Source, content: Content) -> tuple[Layout, Grid, int]:
    """What the header says, checked, and the bytes that it took."""
    header, read = _header(content)
    try:
        with np.errstate(all="ignore"):
            slope, inter = header.get_slope_inter()
            layout = Layout(
                tuple(int(size) for size in header.get_data_shape()),
                np.dtype(header.get_data_dtype()),
                str(header.get_value_label("datatype")),
                int(offset) if np.isfinite(offset := float(header["vox_offset"])) else -1,
                1.0 if slope is None else slope,
                0.0 if inter is None else inter,
            )
            check_voxels(source, layout.shape)
            _check_layout(content, layout, read)
            check_dimensions(source, layout.shape)
            grid = _grid(content.name, header, (layout.shape[0], layout.shape[1], layout.shape[2]))
    except (HeaderDataError, ValueError, OverflowError) as error:
        raise _unreadable(content.name, error) from error
    check_affine(source, grid.affine)
    check_extent(source, grid.shape, grid.affine)
    return layout, grid, read


def _header(content: Content) -> tuple[Any, int]:
    """The header, with what nibabel mends in it, and its length in bytes."""
    block = content.read(Nifti1Header.sizeof_hdr)
    second = Nifti2Header.sizeof_hdr in (int.from_bytes(block[:4], order) for order in ("little", "big"))
    kind: Any = Nifti2Header if second else Nifti1Header
    block += content.read(kind.sizeof_hdr - len(block))
    header = kind(bytes(block), check=False)
    magic = header["magic"].item()
    if magic == kind.pair_magic:
        raise DataError(f"{content.name}: the header of a pair (.hdr, .img): expected one file; convert it to .nii.gz")
    if block.startswith(GZIP) and not content.packed:
        raise DataError(f"{content.name}: gzip, whatever its name says: add .gz to its name")
    if magic != kind.single_magic:
        raise DataError(f"{content.name}: no NIfTI file, whatever its name says: copy or export it again")
    try:
        header.check_fix(logger=_SILENT)
    except (HeaderDataError, ValueError, OverflowError) as error:
        raise _unreadable(content.name, error) from error
    return header, len(block)


def _check_layout(content: Content, layout: Layout, read: int) -> None:
    """Refuse what the header declares if no scan has it or the file cannot hold it."""
    name = content.name
    # Of floats with 128 bits there are several kinds, and the header does not tell which.
    if layout.dtype.kind not in "iuf" or layout.dtype.itemsize > 8:
        raise DataError(
            f"{name}: holds voxels of type {layout.type_name}: expected whole numbers or floats of up to 64 bits"
        )
    if not read <= layout.offset <= _MAX_OFFSET:
        raise DataError(
            f"{name}: its voxels begin at byte {layout.offset}: expected {read} to {_MAX_OFFSET}, after the header"
        )
    if layout.end > content.limit:
        raise DataError(
            f"{name}: truncated, {content.size} bytes where its header declares {layout.end}: copy or download it again"
        )


def _grid(name: str, header: Any, shape: tuple[int, int, int]) -> Grid:
    """The grid as a result will be written on it: in the numbers of NIfTI-1, and none of them NaN.

    A form whose code is 0 places nothing, so what stands in it does not matter and is zero here.
    """
    if max(shape) > _MAX_AXIS:
        raise DataError(f"{name}: {by(shape)} voxels: expected at most {_MAX_AXIS} along an axis, as NIfTI-1 can write")
    try:
        grid = Grid.from_header(shape, header)
    except (HeaderDataError, ValueError) as error:
        raise DataError(f"{name}: its qform is no rotation: export it again") from error
    fields = dict(grid.header)
    for code, names in _FORMS.items():
        for field in names:
            if not _fits(fields[field]):
                if fields[code] != (0.0,):
                    raise DataError(
                        f"{name}: its {code[:5]} holds NaN or infinite numbers, so its affine is no place: export it"
                    )
                fields[field] = (0.0,) * len(fields[field])
    if not _fits(fields["pixdim"][:4]):
        raise DataError(f"{name}: its voxel sizes hold NaN or infinite numbers: expected millimetres; export it again")
    fields["pixdim"] = tuple(size if _fits((size,)) else 0.0 for size in fields["pixdim"])
    # One byte in NIfTI-1, four in NIfTI-2, of which one is used.
    fields["xyzt_units"] = (float(int(fields["xyzt_units"][0]) & 0xFF),)
    return Grid.from_json({"shape": shape, "header": fields})


def _fits(values: tuple[float, ...]) -> bool:
    return bool((np.abs(values) <= np.finfo(np.float32).max).all())


def _scaled(stored: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """The values of voxels `[N]`: as stored, or float32 if there is a slope or an intercept."""
    if (layout.slope, layout.inter) == (1.0, 0.0):
        return stored
    values = np.empty(stored.shape, np.float32)
    # In double precision, where every 32-bit number is exact, and in pieces, so that it costs no memory.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(stored), _PIECE):
            piece = stored[start : start + _PIECE].astype(np.float64)
            values[start : start + _PIECE] = piece * layout.slope + layout.inter
    return values


def _unreadable(name: str, error: Exception) -> DataError:
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return DataError(f"{name}: unreadable as NIfTI ({reason}): copy or export it again")
