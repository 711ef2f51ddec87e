"""The slices of one DICOM file: where each lies and how its stored numbers become values.

Either the file is one slice, or it holds many with a place for each (enhanced MR). Only the few elements that matter
are read, and nothing of a patient's name is shown.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.data.content import opened
from limbeck.data.source import shown
from limbeck.errors import DataError, UsageError

_TAGS = [
    *("SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "PhotometricInterpretation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
_PREAMBLE = 132
_ENDINGS = (".dcm", ".ima")
# Drawn upon an image, and kept beside it.
_DERIVED = ("SEG", "RTDOSE")
# It unpacks whole, before any limit can be held against it.
_DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice, not yet read.

    Attributes:
        path: the file that holds it.
        frame: which of the file's slices; None if it is the only one.
        series: UID of its series.
        title: the series' number and description.
        shape: `(rows, columns)`.
        position: `[3]` float64, LPS millimetres of the first voxel.
        directions: `[2,3]` float64, unit vectors along a row and along a column.
        spacing_mm: distance of neighbouring columns and of neighbouring rows.
        slope: what stored numbers are multiplied by.
        intercept: what is added then.
    """

    path: Path
    frame: int | None
    series: str
    title: str
    shape: tuple[int, int]
    position: NDArray[np.float64]
    directions: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    slope: float
    intercept: float

    def __str__(self) -> str:
        name = shown(Path(self.path.name))
        return name if self.frame is None else f"{name} frame {self.frame + 1}"


def slices_of(path: Path) -> list[Slice]:
    """The slices of a file; none if it is no DICOM file or holds no image.

    Raises:
        UsageError: pydicom is not installed.
        DataError: the file cannot be opened, is damaged, truncated or what is left of a lost slice, holds colours, says
            not where its slices lie, or is compressed in a way for which no decoder is installed.
    """
    with opened(path, packed=False) as content:
        start = content.read(min(_PREAMBLE, content.size))
    if start[128:] != b"DICM":
        _check_foreign(path, start)
        return []
    with understanding(path):
        syntax = _syntax(path)
        data = pydicom(path).dcmread(path, specific_tags=_TAGS, stop_before_pixels=True)
        if "Rows" not in data or data.get("Modality") in _DERIVED:
            return []
        return _slices(path, data, syntax)


def planes_of(path: Path) -> NDArray[Any]:
    """The stored numbers of a file, `[frames,rows,columns]`.

    Raises:
        UsageError: pydicom is not installed.
        DataError: they are truncated or damaged.
    """
    with understanding(path):
        pydicom(path)
        from pydicom.pixels import pixel_array  # noqa: PLC0415 - an extra

        planes: NDArray[Any] = pixel_array(path, raw=True)
        return planes[None] if planes.ndim == 2 else planes


@contextmanager
def understanding(path: Path) -> Iterator[None]:
    """Turn what pydicom stumbles over into one line, and keep its warnings to itself.

    Raises:
        DataError: the file cannot be understood.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (DataError, UsageError, MemoryError):
            raise
        # A damaged file can make pydicom and its decoders raise almost anything.
        except Exception as error:
            reason = (str(error).strip().split("\n")[0] or type(error).__name__).rstrip(".:")
            raise DataError(f"{shown(path)}: unreadable as DICOM ({reason}): copy or export it again") from error


def pydicom(path: Path) -> Any:
    """The module.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pydicom as module  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(f"{shown(path)}: needs pydicom: pip install 'limbeck[dicom]'") from error
    return module


def _check_foreign(path: Path, start: bytearray) -> None:
    """Refuse what is no DICOM file and may have been one: at the end of a stack, no gap tells of a lost slice."""
    # Systems hide files of their own in every folder.
    if path.name.startswith(".") or (any(start) and path.suffix.lower() not in _ENDINGS):
        return
    found = "no DICOM file, whatever its name says" if any(start) else "empty" if not start else "begins with zeros"
    raise DataError(f"{shown(path)}: {found}, and may be a lost slice: copy the series again, or take the file away")


def _syntax(path: Path) -> Any:
    """How the file's voxels are stored, if that can be decoded here."""
    from pydicom.filereader import read_file_meta_info  # noqa: PLC0415 - an extra
    from pydicom.pixels import get_decoder  # noqa: PLC0415
    from pydicom.uid import ExplicitVRLittleEndian  # noqa: PLC0415

    syntax = read_file_meta_info(path).get("TransferSyntaxUID", ExplicitVRLittleEndian)
    try:
        available = syntax != _DEFLATED and get_decoder(syntax).is_available
    except NotImplementedError:
        # Not of an image, or nothing that is known.
        return syntax
    if not available:
        raise DataError(
            f"{shown(path)}: its voxels are stored as {syntax.name}, for which no decoder is installed: "
            "export the series uncompressed, or install pylibjpeg with pylibjpeg-libjpeg"
        )
    return syntax


def _slices(path: Path, data: Any, syntax: Any) -> list[Slice]:
    rows, columns, frames = int(data.Rows), int(data.Columns), int(data.get("NumberOfFrames") or 1)
    if data.get("SamplesPerPixel", 1) != 1 or data.get("PhotometricInterpretation", "MONOCHROME2") != "MONOCHROME2":
        raise DataError(
            f"{shown(path)}: {data.get('PhotometricInterpretation')} in {data.get('SamplesPerPixel')} colours: "
            "expected MONOCHROME2; give the series of the scan itself"
        )
    declared = rows * columns * frames * int(data.BitsAllocated) // 8
    size = path.stat().st_size
    if not syntax.is_compressed and size < declared:
        raise DataError(
            f"{shown(path)}: truncated, {size} bytes where its header declares {declared}: copy or export it again"
        )
    if "PerFrameFunctionalGroupsSequence" not in data:
        if frames != 1:
            raise DataError(f"{shown(path)}: {frames} slices without a place for each: export one file a slice")
        return [_slice(path, None, data, [data])]
    shared = data.get("SharedFunctionalGroupsSequence") or [None]
    groups = data.PerFrameFunctionalGroupsSequence
    if len(groups) != frames:
        raise DataError(f"{shown(path)}: {frames} slices with {len(groups)} places: export the series again")
    return [_slice(path, frame, data, _parts(group, shared[0])) for frame, group in enumerate(groups)]


def _parts(group: Any, shared: Any) -> list[Any]:
    """What is said of a frame, and then of all frames: the items of all their sequences."""
    sequences = [element for part in (group, shared) if part is not None for element in part if element.VR == "SQ"]
    return [item for element in sequences for item in element.value]


def _slice(path: Path, frame: int | None, data: Any, parts: Sequence[Any]) -> Slice:
    def numbers(name: str, count: int, default: float | None = None) -> NDArray[np.float64]:
        found = next((part[name].value for part in parts if name in part and part[name].value is not None), default)
        if found is None:
            raise DataError(f"{shown(path)}: no {name}: expected a slice of a scan, which says where it lies")
        values = np.atleast_1d(np.asarray(found, np.float64))
        if values.shape != (count,) or not np.isfinite(values).all():
            raise DataError(f"{shown(path)}: {name} is no {count} finite numbers: export the series again")
        return values

    directions = numbers("ImageOrientationPatient", 6).reshape(2, 3)
    if np.abs(directions @ directions.T - np.eye(2)).max() > 1e-3:
        raise DataError(f"{shown(path)}: rows and columns at no right angle: expected unit vectors; export it again")
    between_rows, between_columns = numbers("PixelSpacing", 2)
    if min(between_rows, between_columns) <= 0:
        raise DataError(f"{shown(path)}: PixelSpacing is not above 0: expected millimetres; export it again")
    title = " ".join(str(data.get(name) or "").strip() for name in ("SeriesNumber", "SeriesDescription")).strip()
    return Slice(
        path,
        frame,
        str(data.get("SeriesInstanceUID", "")),
        ascii(title)[1:-1],
        (int(data.Rows), int(data.Columns)),
        numbers("ImagePositionPatient", 3),
        directions,
        (float(between_columns), float(between_rows)),
        float(numbers("RescaleSlope", 1, 1.0)[0]),
        float(numbers("RescaleIntercept", 1, 0.0)[0]),
    )
