"""Mounts of a process's own, small and read-only disks, and root without its override of permissions; Linux alone."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

LARGE = 512 * 2**20
_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *given: Any) -> None:
    if getattr(_LIBC, name)(*given) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    _call("mount", source.encode(), str(target).encode(), kind.encode(), flags, options.encode() or None)


def apart() -> None:
    """Give this process mounts of its own, which end with it.

    Raises:
        OSError: it may not.
    """
    _call("unshare", _CLONE_NEWNS)
    _mount("none", Path("/"), "", _MS_REC | _MS_PRIVATE)


def small_disk(place: Path, size: int) -> None:
    """Mount a tmpfs."""
    place.mkdir(parents=True, exist_ok=True)
    _mount("limbeck", place, "tmpfs", 0, f"size={size}")


def resize(place: Path, size: int) -> None:
    """Change a tmpfs; what is in it stays, also if it is more than that."""
    _mount("limbeck", place, "tmpfs", _MS_REMOUNT, f"size={size}")


def read_only(place: Path, asked: bool) -> None:
    """Make a tmpfs read-only, or no longer."""
    _mount("limbeck", place, "tmpfs", _MS_REMOUNT | (_MS_RDONLY if asked else 0), f"size={LARGE}")


def give_up_override() -> None:
    """Be bound by permissions, also as root."""

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    class Data(ctypes.Structure):
        _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))

    header, data = Header(0x20080522, 0), (Data * 2)()
    _call("capget", ctypes.byref(header), data)
    for name in ("effective", "permitted", "inheritable"):
        kept = getattr(data[0], name) & ~(1 << _CAP_DAC_OVERRIDE | 1 << _CAP_DAC_READ_SEARCH)
        setattr(data[0], name, kept)
    _call("capset", ctypes.byref(header), data)
