"""The text headers of MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr), read with distrust.

ITK takes a number that it cannot read for 0 and unpacks damaged MetaImage data without a word. So sizes, numbers and
packed data are checked here before ITK sees the file.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from limbeck.data.content import MAX_DEFLATE_RATIO, opened
from limbeck.data.source import shown, suffix
from limbeck.errors import DataError

# Headers are a few hundred bytes; NRRD's keys may hold a scanner's protocol.
_MAX_HEADER = 2**20
# Unpacked, such a piece takes 64 MB at most.
_PIECE = 2**16
# Some writers fill the last block of a file.
_MAX_SURPLUS = 2**12
_NUMBER = re.compile(r"[^\s(),]+")
_META_PLACE = ("TransformMatrix", "Rotation", "Orientation", "Offset", "Origin", "Position")
_META_NUMBERS = (*_META_PLACE, "ElementSpacing", "ElementSize", "CenterOfRotation")
_NRRD_PLACE = ("space directions", "space origin")
_NRRD_NUMBERS = (*_NRRD_PLACE, "spacings")
_NRRD_NAMES = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
_NRRD_SPACES = (
    *("left-posterior-superior", "right-anterior-superior", "left-anterior-superior"),
    *("lps", "ras", "las"),
    *("left-posterior-superior-time", "right-anterior-superior-time", "left-anterior-superior-time"),
    *("lpst", "rast", "last"),
)


@dataclass(frozen=True)
class TextHeader:
    """What a header says about sizes and data.

    Attributes:
        path: the file with the header.
        sizes: length of every axis of the data, that of vectors too, in no certain order.
        data: the file with the voxels, which may be the header's own.
        offset: the byte where they start; None if they are the last in their file.
        packed: whether the voxels are deflated.
        lacks: what is missing to know where the volume lies; empty if nothing.
        packed_bytes: how long deflated voxels are; None if the format does not say.
    """

    path: Path
    sizes: tuple[int, ...]
    data: Path
    offset: int | None
    packed: bool
    lacks: str
    packed_bytes: int | None = None

    def check_length(self, declared: int) -> None:
        """Refuse a file that cannot hold so many bytes of voxels, or goes on after them.

        Raises:
            DataError: it is shorter or longer; deflated data may unpack to 1032 times their length.
        """
        with opened(self.data, packed=False) as content:
            held = content.size - (self.offset or 0)
        name = shown(self.data)
        if declared > held * (MAX_DEFLATE_RATIO if self.packed else 1):
            raise DataError(
                f"{name}: truncated, {held} bytes where its header declares {declared}: copy or download it again"
            )
        if not self.packed and self.offset is not None and held > declared + _MAX_SURPLUS:
            raise DataError(
                f"{name}: {held} bytes where its header declares {declared}: its header is damaged; copy it again"
            )

    def check_packed(self, declared: int) -> None:
        """Unpack deflated voxels and forget them: they must be whole, and as many bytes as are declared.

        Raises:
            DataError: the data are damaged or truncated, or hold too few or too many bytes.
        """
        if not self.packed:
            return
        unpacker = zlib.decompressobj(wbits=47)
        found, taken = 0, 0
        try:
            with self.data.open("rb") as stream:
                stream.seek(self.offset or 0)
                # One byte more than is declared is enough to refuse, so a bomb cannot go off.
                while found <= declared and not unpacker.eof and (piece := stream.read(_PIECE)):
                    found += len(unpacker.decompress(piece, declared - found + 1))
                    taken += len(piece) - len(unpacker.unused_data)
        except zlib.error as error:
            raise DataError(f"{shown(self.data)}: damaged, {_reason(error)}: copy or download it again") from error
        if not unpacker.eof or found != declared:
            what = "more than" if found > declared else f"{found} of"
            raise DataError(
                f"{shown(self.data)}: its compressed data hold {what} {declared} bytes: copy or download it again"
            )
        # ITK would hand out whatever lies in the memory that it could not fill.
        if self.packed_bytes not in (None, taken):
            raise DataError(
                f"{shown(self.path)}: CompressedDataSize is {self.packed_bytes} where there are {taken} bytes: "
                "copy or download it again"
            )


def read_header(path: Path) -> TextHeader:
    """The header of a MetaImage or NRRD file.

    Raises:
        DataError: the file is no such file, lacks what must be there, holds what is no number, or keeps its voxels in
            a way that is not read: as text, in bzip2, in several files, or outside the header's folder.
    """
    with opened(path, packed=False) as content:
        text = bytes(content.read(min(_MAX_HEADER, content.size)))
    try:
        return _nrrd(path, text) if suffix(path) in (".nrrd", ".nhdr") else _meta(path, text)
    except _UnfitError as error:
        raise DataError(f"{shown(path)}: {error}") from error


class _UnfitError(Exception):
    """What was found in a header, and what would be right; the file's name comes before it."""


def _meta(path: Path, text: bytes) -> TextHeader:
    fields: dict[str, str] = {}
    end = 0
    for line in text.splitlines(keepends=True):
        end += len(line)
        key, _, value = re.sub(rb"[=:]", b"=", line, count=1).decode("latin-1").partition("=")
        _add(fields, key.strip(), value.strip())
        if key.strip() == "ElementDataFile":
            break
    _require(fields, ("NDims", "DimSize", "ElementType", "ElementDataFile"), "MetaImage")
    _require_size(fields, ("ElementSpacing", "ElementSize"))
    sizes = _sizes(fields["DimSize"], fields["NDims"]) + _sizes(fields.get("ElementNumberOfChannels", "1"), "1")
    for name in _META_NUMBERS:
        square = name in ("TransformMatrix", "Rotation", "Orientation")
        _check_numbers(fields, name, len(sizes) - 1, square)
    if _true(fields.get("BinaryData", "True")) is False:
        raise _UnfitError("its voxels are text: expected binary data; export it again")
    local = fields["ElementDataFile"].lower() == "local"
    packed = _true(fields.get("CompressedData", "False"))
    skip = _whole(fields.get("HeaderSize", "0"))
    lacks = "" if any(name in fields for name in _META_PLACE) else "neither TransformMatrix nor Offset"
    header = _header(path, sizes, "" if local else fields["ElementDataFile"], skip, end, packed, lacks)
    return replace(header, packed_bytes=_whole(fields.get("CompressedDataSize", "0")) if packed else None)


def _nrrd(path: Path, text: bytes) -> TextHeader:
    if not text.startswith(b"NRRD000"):
        raise _UnfitError("no NRRD file, which starts with NRRD000: copy or export it again")
    fields: dict[str, str] = {}
    end = 0
    for line in text.splitlines(keepends=True):
        end += len(line)
        if not line.strip():
            break
        key, separator, value = line.decode("latin-1").partition(": ")
        if separator and not line.startswith(b"#"):
            name = key.strip().lower()
            _add(fields, _NRRD_NAMES.get(name, name), value.strip())
    _require(fields, ("type", "dimension", "sizes", "encoding"), "NRRD")
    _require_size(fields, ("space directions", "spacings"))
    sizes = _sizes(fields["sizes"], fields["dimension"])
    for name in _NRRD_NUMBERS:
        _check_numbers(fields, name)
    encoding = fields["encoding"].lower()
    if encoding not in ("raw", "gz", "gzip") or _whole(fields.get("line skip", "0")):
        raise _UnfitError(
            f"its voxels are kept as {encoding!r:.20}, or below lines to skip: expected raw or gzip; export it again"
        )
    lacks = "" if all(name in fields for name in _NRRD_PLACE) else "neither space directions nor space origin"
    space = fields.get("space", "")
    if not lacks and space.lower() not in _NRRD_SPACES:
        lacks = f"space {space}" if space else "no space"
    detached = fields.get("data file", "")
    return _header(path, sizes, detached, _whole(fields.get("byte skip", "0")), end, encoding != "raw", lacks)


def _header(
    path: Path, sizes: tuple[int, ...], detached: str, skip: int, end: int, packed: bool, lacks: str
) -> TextHeader:
    """A header with its data file found; `skip` of -1 says that the voxels are the file's end."""
    name = Path(detached)
    if "%" in detached or detached.upper().startswith("LIST") or name.is_absolute() or ".." in name.parts:
        raise _UnfitError(f"its voxels lie in {detached}: expected one file beside the header; export it again")
    data = path.parent / name if detached else path
    try:
        there = data.is_file()
    except OSError as error:
        # The name is too long, for one.
        raise _UnfitError(f"its voxels lie in {detached!r:.80} ({error.strerror}): export it again") from error
    if not there:
        raise _UnfitError(f"its voxels lie in {detached}, which is missing: bring that file back too")
    if skip < -1 or (skip and (packed or not detached)):
        raise _UnfitError(f"{skip} bytes of its data are to be skipped: expected none; export it again")
    start = (skip if skip >= 0 else None) if detached else end
    return TextHeader(path, sizes, data, start, packed, lacks)


def _add(fields: dict[str, str], name: str, value: str) -> None:
    # Of two values, ITK could take the one that was not checked.
    if name in fields:
        raise _UnfitError(f"its header has {name!r:.40} twice: expected it once; export it again")
    fields[name] = value


def _require(fields: Mapping[str, str], names: tuple[str, ...], kind: str) -> None:
    missing = [name for name in names if not fields.get(name)]
    if missing:
        raise _UnfitError(f"no {kind} file, or truncated, its header has no {missing[0]}: copy or export it again")


def _require_size(fields: Mapping[str, str], names: tuple[str, ...]) -> None:
    # ITK would take voxels for cubes of a millimetre.
    if not any(fields.get(name) for name in names):
        raise _UnfitError(f"its header has neither {names[0]} nor {names[1]}: expected millimetres; export it again")


def _sizes(text: str, count: str) -> tuple[int, ...]:
    sizes = tuple(_whole(word) for word in text.split())
    if len(sizes) != _whole(count) or min(sizes, default=0) < 1:
        raise _UnfitError(f"its header declares sizes {text!r} of {count} dimensions: expected as many lengths above 0")
    return sizes


def _whole(text: str) -> int:
    # Longer numbers overflow somewhere; `int` would take underscores and other scripts' digits too.
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise _UnfitError(f"its header has {text!r:.40} where a whole number is expected: copy or export it again")
    return int(text)


def _true(text: str) -> bool:
    return text[:1].lower() in ("t", "1", "y")


def _check_numbers(fields: Mapping[str, str], name: str, dimensions: int = 0, square: bool = False) -> None:
    """Refuse a field that holds anything but finite numbers, or not as many as there are dimensions."""
    if name not in fields:
        return
    words = [word for word in _NUMBER.findall(fields[name]) if word != "none"]
    for word in words:
        try:
            finite = math.isfinite(float(word))
        except ValueError:
            finite = False
        if not finite:
            raise _UnfitError(f"{name} holds {word!r:.40}: expected finite numbers; export it again")
    if dimensions and len(words) != (dimensions**2 if square else dimensions):
        raise _UnfitError(f"{name} holds {len(words)} numbers in {dimensions} dimensions: export it again")


def _reason(error: zlib.error) -> str:
    return str(error).rpartition(": ")[2]
