"""Sound NIfTI files of many kinds: types, byte orders, versions, places, scalings, extensions and chains of gzip.

Nothing here uses Limbeck: headers are nibabel's, bytes are put together by hand.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from numpy.random import Generator

DTYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


@dataclass
class Draft:
    """A file in the making: its header as a structure, and the bytes around it."""

    rng: Generator
    header: Any
    extensions: bytes
    voxels: np.ndarray
    dtype: np.dtype
    labels: bool
    packed: bool

    def content(self) -> bytes:
        """The file before it is packed."""
        block = self.header.binaryblock
        return block + self.extensions + self.voxels.astype(self.dtype).tobytes(order="F")


def draft(rng: Generator) -> Draft:
    labels = bool(rng.random() < 0.3)
    order = str(rng.choice(["<", ">"], p=[0.8, 0.2]))
    dtype = str(rng.choice(["u1", "i2", "f4", "f8"] if labels else DTYPES))
    header: Any = (Nifti2Header if rng.random() < 0.25 else Nifti1Header)(endianness=order)
    shape = tuple(int(size) for size in rng.integers(5, 16, 3))
    voxels = _head(rng, shape, labels, dtype)
    header.set_data_dtype(np.dtype(order + dtype))
    header.set_data_shape((*shape, 1) if rng.random() < 0.15 else shape)
    _place(rng, header)
    header["scl_slope"], header["scl_inter"] = _scaling(rng, labels)
    extensions = _extensions(rng, order)
    header["vox_offset"] = header.sizeof_hdr + len(extensions)
    return Draft(rng, header, extensions, voxels, np.dtype(order + dtype), labels, packed=bool(rng.random() < 0.6))


def _head(rng: Generator, shape: tuple[int, ...], labels: bool, dtype: str) -> np.ndarray:
    """A ball with a background of zero: an image, or the codes of BraTS 2018."""
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.9
    if labels:
        return np.where(inside, rng.choice([0, 1, 2, 4], shape), 0)
    values = rng.integers(1, 100, shape) if dtype[0] != "f" else rng.normal(300, 60, shape)
    return np.where(inside, values, 0)


def _place(rng: Generator, header: Any) -> None:
    """An affine as qform, sform, both or neither, in any orientation, some of them oblique."""
    edges = [2.0, 2.0, 2.0] if rng.random() < 0.5 else list(rng.uniform(0.5, 6, 3))
    turn = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
    if rng.random() < 0.3:
        turn = turn @ _rotation(rng.uniform(-0.4, 0.4, 3))
    affine = np.eye(4)
    affine[:3, :3] = turn * edges
    affine[:3, 3] = rng.uniform(-150, 150, 3)
    qform, sform = [(1, 1), (1, 0), (0, 2), (0, 0)][rng.choice(4, p=[0.4, 0.25, 0.25, 0.1])]
    header.set_qform(affine, qform, strip_shears=True)
    header.set_sform(affine, sform)
    header["qform_code"], header["sform_code"] = qform, sform
    header.set_xyzt_units(str(rng.choice(["mm", "unknown", "micron"])), "sec")


def _rotation(angles: np.ndarray) -> np.ndarray:
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        one, two = [other for other in range(3) if other != axis]
        step = np.eye(3)
        step[one, one] = step[two, two] = np.cos(angle)
        step[one, two], step[two, one] = -np.sin(angle), np.sin(angle)
        result = result @ step
    return result


def _scaling(rng: Generator, labels: bool) -> tuple[float, float]:
    if labels or rng.random() < 0.6:
        return float(rng.choice([0.0, 1.0, np.nan])), 0.0
    return float(rng.uniform(0.01, 3) * rng.choice([-1, 1])), float(rng.choice([0, -1024, 7.5]))


def _extensions(rng: Generator, order: str) -> bytes:
    """The four bytes that announce extensions, and up to three of them."""
    if rng.random() < 0.7:
        return bytes(4)
    blocks = b"\x01\0\0\0"
    for size in rng.choice([16, 32, 1024], int(rng.integers(1, 4))):
        blocks += struct.pack(order + "ii", int(size), int(rng.choice([0, 4, 6, 44]))) + b"x" * (int(size) - 8)
    return blocks


def pack(rng: Generator, content: bytes) -> bytes:
    """One gzip member, or a chain of them with or without an empty one at the end."""
    if rng.random() < 0.7:
        return gzip.compress(content, int(rng.integers(0, 7)), mtime=0)
    step = int(rng.integers(300, 3000))
    chain = [gzip.compress(content[at : at + step], 1, mtime=0) for at in range(0, len(content), step)]
    return b"".join(chain) + (gzip.compress(b"", mtime=0) if rng.random() < 0.5 else b"")
