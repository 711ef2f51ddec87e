"""One NIfTI volume: read in place, checked before it is used, and written back on the grid that it came from.

Whatever is wrong with a file is said in one line, `file: what was found: what would be right`. Sizes that a header
declares are held against a limit, and against what the file can hold, before memory is asked for.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import aff2axcodes
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from limbeck.anatomy import LABEL_SCHEMES, Label, LabelScheme
from limbeck.durable import replacing
from limbeck.errors import DataError, UsageError, nearest

# 512 cubed with four channels: far above any clinical head scan, far below what makes a laptop swap.
MAX_VOXELS = 2**29
# Deflate cannot pack more than this many bytes into one.
_MAX_DEFLATE_RATIO = 1032
_GRID_FIELDS = (
    *("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
_log = logging.getLogger("limbeck")


@dataclass(frozen=True)
class Source:
    """Where a volume lies: a file, and its channel if the file is 4-D."""

    path: Path
    channel: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.channel is None else f"{self.path} (channel {self.channel})"


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxel grid of a volume as its file declares it.

    Attributes:
        shape: voxels along the file's own axes, `(X, Y, Z)`.
        affine: `[4,4]` float64, voxel indices to millimetres in RAS+ scanner space.
        header: the NIfTI fields that place the grid (forms, codes, voxel sizes, units), as they stood in the file, so
            that a result can be written on exactly this grid.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    header: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, shape: tuple[int, int, int], affine: NDArray[Any]) -> Grid:
        """A grid that comes from no file: the affine goes out as sform, in millimetres."""
        header = nib.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.asarray(affine, np.float64)).header
        header.set_xyzt_units("mm")
        return cls._from_header(shape, header)

    @classmethod
    def _from_header(cls, shape: tuple[int, int, int], header: Any) -> Grid:
        affine = np.asarray(header.get_best_affine(), np.float64)
        fields = {name: tuple(float(value) for value in np.ravel(header[name])) for name in _GRID_FIELDS}
        return cls(shape, affine, fields)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along the file's axes, in millimetres."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def orientation(self) -> str:
        """Where the file's axes point, such as `LPS`."""
        return "".join(str(code) for code in aff2axcodes(self.affine))

    @property
    def unplaced(self) -> bool:
        """True if the file carries neither qform nor sform, so that left and right are a guess."""
        return self.header["qform_code"] == (0.0,) and self.header["sform_code"] == (0.0,)

    def difference(self, other: Grid, tolerance: float = 1e-3) -> str | None:
        """How `other` differs from this grid, in words; None if shape and affine agree."""
        if other.shape != self.shape:
            return f"shape {by(other.shape)} instead of {by(self.shape)}"
        apart = np.abs(other.affine - self.affine)
        if apart.max() <= tolerance:
            return None
        row, column = (int(index) for index in np.unravel_index(apart.argmax(), apart.shape))
        found, wanted = other.affine[row, column], self.affine[row, column]
        return (
            f"affine off by {apart.max():.6g} at row {row}, column {column} "
            f"({found:.6g} instead of {wanted:.6g}; orientation {other.orientation} and {self.orientation})"
        )

    def to_json(self) -> dict[str, Any]:
        """The grid as plain numbers."""
        return {"shape": list(self.shape), "header": {name: list(value) for name, value in self.header.items()}}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Grid:
        """The grid that `to_json` described; numbers come back bit for bit."""
        x, y, z = (int(size) for size in content["shape"])
        header = _nifti_header({name: tuple(value) for name, value in content["header"].items()})
        return cls._from_header((x, y, z), header)


def read_volume(source: Source) -> tuple[NDArray[np.float32], Grid]:
    """One image as `[X,Y,Z]` float32 in the file's own axes and units, and its grid.

    Raises:
        DataError: the file is missing, no NIfTI, truncated, declares absurd dimensions, has another number of
            dimensions, an unusable affine, NaN or infinite voxels, or the same value everywhere.
    """
    return read_volumes([source])[0]


def read_volumes(sources: Sequence[Source]) -> list[tuple[NDArray[np.float32], Grid]]:
    """Several channels of one file, which is unpacked once; otherwise as `read_volume`."""
    if len({source.path for source in sources}) != 1:
        return [volume for source in sources for volume in read_volumes([source])]
    return [
        (check_image(source, voxels), grid) for source, (voxels, grid) in zip(sources, _unpack(sources), strict=True)
    ]


def check_image(name: Source | str, voxels: NDArray[Any]) -> NDArray[np.float32]:
    """An image as float32, if it can be one.

    Raises:
        DataError: voxels are NaN or infinite, or all the same.
    """
    image = voxels.astype(np.float32)
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
        UsageError: the scheme is not known.
    """
    codes = label_scheme(scheme)
    voxels, grid = _unpack([source])[0]
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
    """
    return _open(source)[1]


def write_labels(path: Path, labels: NDArray[Any], grid: Grid, scheme: str = "brats2018") -> None:
    """Write a label map in canonical codes, `[X,Y,Z]` on `grid`, durably as uint8 NIfTI in the scheme's codes.

    Shape, affine, both forms with their codes, and units are those of `grid`.

    Raises:
        UsageError: the name does not end in .nii or .nii.gz, the shape is not the grid's, or the scheme has no code
            for a label that occurs.
        ResourceError: the disk is full.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise UsageError(f"{path}: a label map is written as .nii or .nii.gz")
    if labels.shape != grid.shape:
        raise UsageError(f"{path}: the label map is {by(labels.shape)} and its grid {by(grid.shape)}")
    image = nib.Nifti1Image(_to_codes(labels, scheme), None, _nifti_header(grid.header))
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


def _to_codes(labels: NDArray[Any], scheme: str) -> NDArray[np.uint8]:
    codes = {int(label): code for code, label in label_scheme(scheme).items()}
    table = np.zeros(len(Label), np.uint8)
    for label in Label:
        if int(label) in codes:
            table[label] = codes[int(label)]
        elif (labels == int(label)).any():
            name = label.name.lower().replace("_", " ")
            raise UsageError(f"label scheme {scheme} has no code for {name}: use brats2024, which has one for each")
    codes_out: NDArray[np.uint8] = table[labels]
    return codes_out


def _nifti_header(fields: Mapping[str, tuple[float, ...]]) -> Any:
    header = nib.Nifti1Header()
    for name, value in fields.items():
        header[name] = value if len(value) > 1 else value[0]
    return header


def _unpack(sources: Sequence[Source]) -> list[tuple[NDArray[Any], Grid]]:
    """The channels of one file, scaled but not yet cast, each `[X,Y,Z]` in Fortran order."""
    path = sources[0].path
    image, grid = _open(sources[0])
    for source in sources[1:]:
        _check_dimensions(source, image.shape)
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


def _open(source: Source) -> tuple[Any, Grid]:
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
        _check_dimensions(source, shape)
        grid = Grid._from_header((shape[0], shape[1], shape[2]), image.header)
    except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError, AttributeError) as error:
        raise DataError(f"{path}: unreadable as NIfTI ({_first_line(error)}): copy or export it again") from error
    _check_affine(path, grid)
    return image, grid


def _check_size(path: Path, shape: tuple[int, ...], proxy: Any) -> None:
    """Refuse what the header declares if no scan has it or the file cannot hold it; Python's integers cannot wrap."""
    voxels = 1
    for size in shape:
        voxels *= size
    if len(shape) == 0 or min(shape) < 1 or voxels > MAX_VOXELS:
        raise DataError(f"{path}: its header declares {by(shape)} voxels: expected at most {MAX_VOXELS} in all")
    if proxy.dtype.kind not in "iuf":
        raise DataError(f"{path}: holds voxels of type {proxy.dtype}: expected whole numbers or floats")
    declared = int(proxy.offset) + voxels * proxy.dtype.itemsize
    size = path.stat().st_size
    if declared > size * (_MAX_DEFLATE_RATIO if path.name.endswith(".gz") else 1):
        raise DataError(
            f"{path}: truncated, {size} bytes where its header declares {declared}: copy or download it again"
        )


def _check_dimensions(source: Source, shape: tuple[int, ...]) -> None:
    while len(shape) > 3 and shape[-1] == 1 and source.channel is None:
        shape = shape[:-1]
    if source.channel is None and len(shape) == 3:
        return
    if source.channel is None:
        remedy = "give each sequence its own file, or import with layout msd" if len(shape) == 4 else "export it again"
        raise DataError(f"{source}: {len(shape)}-D, {by(shape)}, where one 3-D volume is expected: {remedy}")
    if len(shape) != 4 or not 0 <= source.channel < shape[3]:
        raise DataError(
            f"{source}: {by(shape)}, where a 4-D file that has this channel is expected: check dataset.json"
        )


def _check_affine(path: Path, grid: Grid) -> None:
    axes = grid.affine[:3, :3]
    if not np.isfinite(grid.affine).all():
        raise DataError(f"{path}: its affine holds NaN or infinite numbers: expected millimetres; export it again")
    if abs(np.linalg.det(axes)) < 1e-6:
        raise DataError(
            f"{path}: its affine cannot be inverted, two axes point the same way or one has no length: export it"
        )
    if grid.unplaced:
        _log.warning("%s: neither qform nor sform: orientation %s is a guess", path, grid.orientation)


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


def _unknown_labels(source: Source, voxels: NDArray[Any], scheme: str) -> DataError:
    values = [float(value) for value in np.unique(voxels)]
    known = label_scheme(scheme)
    strange = [value for value in values if value not in known]
    fitting = [name for name, codes in LABEL_SCHEMES.items() if all(value in codes for value in values)]
    remedy = f"; its labels would fit {' or '.join(fitting)}" if fitting else ""
    shown = ", ".join(f"{value:g}" for value in strange[:5]) + (", ..." if len(strange) > 5 else "")
    return DataError(f"{source}: unknown label {shown}: scheme {scheme} has {', '.join(map(str, known))}{remedy}")


def by(shape: Sequence[int]) -> str:
    """A shape in words: `240 x 240 x 155`."""
    return " x ".join(str(size) for size in shape)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
