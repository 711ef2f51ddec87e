"""Ways to spoil a NIfTI file: numbers in its header, its bytes, the packed file, and files that swell."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from nifti_drafts import Draft
from numpy.random import Generator

BOMB_BYTES = 2**27

# --- numbers in the header --------------------------------------------------------------------------------------------

WHOLE = (0, 1, -1, 2, 3, 4, 7, 8, 16, 255, 348, 540, 1000, 2**15 - 1, -(2**15), 2**31 - 1, -(2**31), 2**40, 2**62)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-30, 1e-6, 1e6, 1e30, 3e38, 1e39, 1e300, np.nan, np.inf, -np.inf, 352.0)


def _set(header: Any, field: str, index: int | None, value: float) -> None:
    """A number into a field, wrapped or overflown as its bits make it."""
    array = header.structarr[field]
    base = array.dtype.base
    with np.errstate(all="ignore"):
        if base.kind in "iu":
            bits = int(value) & (2 ** (8 * base.itemsize) - 1) if np.isfinite(value) else 0
            number: Any = np.frombuffer(bits.to_bytes(base.itemsize, "little"), base.newbyteorder("<"))[0]
        else:
            number = np.float64(value).astype(base)
    if index is None or array.ndim == 0:
        header.structarr[field] = number
    else:
        array[index % array.size] = number


def _field(draft: Draft) -> None:
    rng, header = draft.rng, draft.header
    fields = [name for name in header if header.structarr[name].dtype.base.kind in "iuf"]
    name = str(rng.choice(fields))
    kind = header.structarr[name].dtype.base.kind
    _set(header, name, int(rng.integers(8)), rng.choice(WHOLE if kind in "iu" else FLOATS))


def _dimensions(draft: Draft) -> None:
    rng = draft.rng
    for _ in range(int(rng.integers(1, 5))):
        _set(draft.header, "dim", int(rng.integers(8)), float(rng.choice(WHOLE)))


def _near_dimensions(draft: Draft) -> None:
    """Wrong by little, so that nothing but the file's length tells."""
    index = int(draft.rng.integers(1, 4))
    _set(draft.header, "dim", index, int(draft.header["dim"][index]) + int(draft.rng.integers(-3, 4)))


def _datatype(draft: Draft) -> None:
    known = [0, 1, 2, 4, 8, 16, 32, 64, 128, 255, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304]
    code = int(draft.rng.choice(known)) if draft.rng.random() < 0.8 else int(draft.rng.integers(-(2**15), 2**15))
    _set(draft.header, "datatype", None, code)
    if draft.rng.random() < 0.5:
        _set(draft.header, "bitpix", None, float(draft.rng.choice([0, 1, 8, 16, 24, 32, 64, 128, 256, -8])))


def _offset(draft: Draft) -> None:
    tricks = (
        0,
        -1,
        1,
        100,
        347,
        348,
        351,
        352,
        353,
        543,
        544,
        360.5,
        1e4,
        2**24,
        2**31 - 1,
        2**31,
        1e30,
        np.nan,
        np.inf,
    )
    _set(draft.header, "vox_offset", None, draft.rng.choice(tricks))


def _scale(draft: Draft) -> None:
    for field in ("scl_slope", "scl_inter"):
        if draft.rng.random() < 0.7:
            _set(draft.header, field, None, draft.rng.choice(FLOATS))


def _affine(draft: Draft) -> None:
    rng, header = draft.rng, draft.header
    names = ["pixdim", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_z"]
    for _ in range(int(rng.integers(1, 6))):
        value = float(rng.choice(FLOATS)) if rng.random() < 0.7 else float(rng.normal(0, 20))
        _set(header, str(rng.choice(names)), int(rng.integers(8)), value)
    if rng.random() < 0.4:
        _set(header, "qform_code", None, float(rng.choice(WHOLE)))
        _set(header, "sform_code", None, float(rng.choice(WHOLE)))


def _singular(draft: Draft) -> None:
    header = draft.header
    header["sform_code"] = 1
    header["srow_y"] = header["srow_x"]


def _wide(draft: Draft) -> None:
    """Few voxels that span rooms."""
    header, size = draft.header, float(draft.rng.uniform(20, 2000))
    header["qform_code"], header["sform_code"] = 0, 1
    for axis, name in enumerate(("srow_x", "srow_y", "srow_z")):
        header[name] = [size * (axis == column) for column in range(4)]


def _magic(draft: Draft) -> None:
    draft.header.structarr["magic"] = draft.rng.choice(
        [b"ni1", b"n+1", b"ni2", b"n+2", b"n+3", b"", b"N+1", b"\xff" * 4]
    )


def _swapped(draft: Draft) -> None:
    """One field in the other byte order."""
    name = str(draft.rng.choice(["dim", "pixdim", "datatype", "vox_offset", "sizeof_hdr", "srow_x", "scl_slope"]))
    draft.header.structarr[name] = draft.header.structarr[name].byteswap()


# --- bytes ------------------------------------------------------------------------------------------------------------


def _random_bytes(rng: Generator, data: bytearray, end: int | None = None) -> bytes:
    for _ in range(int(rng.integers(1, 9))):
        if data:
            data[int(rng.integers(len(data) if end is None else min(end, len(data))))] = int(rng.integers(256))
    return bytes(data)


def _random_header(rng: Generator, data: bytearray) -> bytes:
    return _random_bytes(rng, data, 352)


def _flipped_bit(rng: Generator, data: bytearray) -> bytes:
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _truncated(rng: Generator, data: bytearray) -> bytes:
    return bytes(data[: int(rng.integers(len(data)))])


def _truncated_early(rng: Generator, data: bytearray) -> bytes:
    return bytes(data[: int(rng.integers(400))])


def _appended(rng: Generator, data: bytearray) -> bytes:
    return bytes(data) + rng.bytes(int(rng.integers(1, 10000)))


def _zeroed(rng: Generator, data: bytearray) -> bytes:
    start = int(rng.integers(len(data)))
    stop = min(len(data), start + int(rng.integers(1, 2000)))
    data[start:stop] = bytes(stop - start)
    return bytes(data)


def _cut_out(rng: Generator, data: bytearray) -> bytes:
    start = int(rng.integers(len(data)))
    return bytes(data[:start] + data[start + int(rng.integers(1, 200)) :])


def _not_a_number(rng: Generator, data: bytearray) -> bytes:
    """Bits that are NaN or infinite if the voxels are floats, in either byte order."""
    bits = rng.choice([0x7FC00000, 0x7F800000, 0xFF800000])
    place = 352 + 4 * int(rng.integers(max(1, (len(data) - 356) // 4)))
    data[place : place + 4] = int(bits).to_bytes(4, str(rng.choice(["little", "big"])))
    return bytes(data)


def _constant(rng: Generator, data: bytearray) -> bytes:
    return bytes(data[:352]) + bytes([int(rng.choice([0, 1, 255]))]) * (len(data) - 352)


def _extension_size(rng: Generator, data: bytearray) -> bytes:
    data[348:352] = b"\x01\0\0\0"
    return (
        bytes(data[:352])
        + struct.pack("<i", int(rng.choice([0, 1, -16, 7, 2**31 - 1, -(2**31), 2**20])))
        + bytes(data[356:])
    )


# --- the packed file --------------------------------------------------------------------------------------------------


def _gzip_header(rng: Generator, data: bytearray) -> bytes:
    data[int(rng.integers(10))] = int(rng.integers(256))
    return bytes(data)


def _gzip_trailer(rng: Generator, data: bytearray) -> bytes:
    data[-1 - int(rng.integers(8))] ^= int(rng.integers(1, 256))
    return bytes(data)


def _packed_again(rng: Generator, data: bytearray) -> bytes:
    del rng
    return gzip.compress(bytes(data), mtime=0)


def _unpacked(rng: Generator, data: bytearray) -> bytes:
    del rng
    try:
        return gzip.decompress(bytes(data))
    except (OSError, EOFError, zlib.error):
        return bytes(data)


def _tiny_members(rng: Generator, data: bytearray) -> bytes:
    empty = gzip.compress(b"", mtime=0)
    chain = empty * int(rng.integers(1, 4000))
    return chain + bytes(data) if rng.random() < 0.5 else bytes(data) + chain


# --- files that swell -------------------------------------------------------------------------------------------------


@lru_cache
def _zeros() -> bytes:
    """Packed zeros, without gzip's frame: a part of any stream."""
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(bytes(BOMB_BYTES)) + packer.flush(zlib.Z_FULL_FLUSH)


def _framed(before: bytes, zeros: bytes) -> bytes:
    """A gzip file of these bytes and then many zeros; its checksum is right."""
    packer = zlib.compressobj(1, wbits=-15)
    first = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(bytes(BOMB_BYTES), zlib.crc32(before))
    end = struct.pack("<II", checksum, (len(before) + BOMB_BYTES) % 2**32)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + first + zeros + b"\x03\0" + end


def _surplus_bomb(draft: Draft) -> bytes:
    """Many zeros after a small image."""
    return _framed(draft.content(), _zeros())


def _extension_bomb(draft: Draft) -> bytes:
    """Many zeros where an extension is said to be."""
    header = draft.header
    header["vox_offset"] = header.sizeof_hdr + 4 + BOMB_BYTES // 2
    announced = struct.pack("<ii", BOMB_BYTES // 2, 6)
    return _framed(header.binaryblock + b"\x01\0\0\0" + announced, _zeros())


def _dimension_bomb(draft: Draft) -> bytes:
    """Dimensions of gigabytes before zeros that are fewer."""
    header = draft.header
    header.set_data_dtype(np.dtype(header.endianness + "f8"))
    header["dim"] = [3, 1024, 1024, 511, 1, 1, 1, 1]
    return _framed(header.binaryblock + bytes(4), _zeros()[: int(draft.rng.choice([1000, 10**9]))])


def _named(*spoils: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {spoil.__name__.strip("_").replace("_", " "): spoil for spoil in spoils}


IN_HEADER = _named(
    *(_field, _dimensions, _near_dimensions, _datatype, _offset, _scale, _affine, _singular, _wide, _magic, _swapped)
)
_BYTES = _named(_random_bytes, _flipped_bit, _truncated, _truncated_early, _appended, _zeroed, _cut_out)
IN_CONTENT = {**_BYTES, **_named(_random_header, _not_a_number, _constant, _extension_size)}
IN_FILE = {
    **{f"packed {name}": spoil for name, spoil in _BYTES.items()},
    **_named(_gzip_header, _gzip_trailer, _packed_again, _unpacked, _tiny_members),
}
BOMBS = _named(_surplus_bomb, _extension_bomb, _dimension_bomb)
SOUND = "nothing"
KINDS = (SOUND, *IN_HEADER, *IN_CONTENT, *IN_FILE, *BOMBS)
# Bombs take long to make.
WEIGHTS = np.array([3.0 if kind == SOUND else 0.2 if kind in BOMBS else 1.0 for kind in KINDS])
