"""The header of a safetensors file, checked before a tensor of it is made.

The format, by the README of huggingface/safetensors: a length in 8 bytes, so many bytes of JSON that give the type,
shape and place of every tensor, and then the tensors, without a gap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from limbeck.received import open_regular, parse_json, shortened

# A header takes a hundred bytes a tensor; no network or optimiser here has ten thousand of them.
_MOST_HEADER_BYTES = 2**22
# The widest network of any method takes 10 GB, its optimiser twice as much.
_MOST_BYTES = 2**35
_LENGTH_BYTES = 8
_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Stored:
    """A tensor as a file announces it."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def narrow(self) -> Stored:
        """The same in half as many bytes, as packs may hold a float32; what predicts with it widens it again."""
        return replace(self, dtype=torch.float16) if self.dtype is torch.float32 else self

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}"


def read_header(path: Path) -> dict[str, Stored]:
    """The tensors that a file holds, by name; its size is what they take, and nothing of them is read.

    Raises:
        OSError, ValueError: it is missing, no such file, or its sizes do not agree.
    """
    with open_regular(path) as stream:
        return _header(stream)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a file by name, in memory.

    Raises:
        OSError, ValueError: as `read_header`.
    """
    read_header(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError("the library of safetensors refuses it") from error


def _header(stream: BinaryIO) -> dict[str, Stored]:
    size = stream.seek(0, 2)
    if size > _MOST_BYTES:
        raise ValueError(f"it has {size} bytes: expected at most {_MOST_BYTES}")
    stream.seek(0)
    length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    if not 2 <= length <= min(_MOST_HEADER_BYTES, size - _LENGTH_BYTES):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    places: list[tuple[int, int]] = []
    found: dict[str, Stored] = {}
    for name, entry in _entries(stream.read(length)).items():
        found[name], place = _entry(name, entry)
        places.append(place)
    end = 0
    for start, stop in sorted(places):
        if start != end:
            raise ValueError(f"its tensors leave a gap or overlap at byte {end}")
        end = stop
    if end != size - _LENGTH_BYTES - length:
        raise ValueError(f"its tensors take {end} bytes of {size - _LENGTH_BYTES - length}")
    return found


def _entries(header: bytes) -> dict[str, Any]:
    """The tensors' entries, without the notes that may stand among them."""
    content = parse_json(header)
    if not isinstance(content, dict):
        raise ValueError("its header is no JSON object")
    notes = content.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise ValueError("its notes are no texts")
    return content


def _entry(name: str, entry: Any) -> tuple[Stored, tuple[int, int]]:
    """A tensor of a header, and its first byte and the one behind its last."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{shortened(name)} has not a dtype, a shape and offsets alone")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{shortened(name)} is of {shortened(dtype)}")
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{shortened(name)} has shape {shortened(shape)} at {shortened(offsets)}")
    start, stop = offsets
    if stop - start != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise ValueError(f"{shortened(name)} has shape {shortened(shape)} in {stop - start} bytes")
    return Stored(_DTYPES[dtype], tuple(shape)), (start, stop)


def _sizes(value: Any) -> bool:
    """Whether it is a list of whole numbers from 0, not too many; `True` is none."""
    return isinstance(value, list) and len(value) <= 8 and all(type(one) is int and one >= 0 for one in value)
