"""The bytes of one file, in order, in pieces and with distrust: a FIFO, a bomb or a torn end gives one line.

The file is opened once, so that what was checked is what is read, whoever replaces it meanwhile. It is read rather
than mapped, since a mapped file that somebody shortens kills the process.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from limbeck.data.source import shown
from limbeck.errors import DataError

# Deflate cannot pack more than this many bytes into one.
MAX_DEFLATE_RATIO = 1032
_PIECE = 2**20
# Zlib keeps what it was given and did not use, so small bites keep chains of small members quick.
_BITE = 2**16
_MEMBERS_ANYWAY = 1024
# Block-compressed files have members of kilobytes; a chain of tinier ones is made to keep the reader busy.
_BYTES_A_MEMBER = 256
GZIP = b"\x1f\x8b"
# How a NIfTI header begins, with its own size.
_NIFTI = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))


class Content:
    """What a file holds, unpacked if `packed`, from its start to its end.

    Attributes:
        name: the file in words, for errors.
        size: bytes on disk.
        packed: whether it is gzip.
    """

    def __init__(self, name: str, stream: BinaryIO, packed: bool) -> None:
        self.name = name
        self.size = os.fstat(stream.fileno()).st_size
        self.packed = packed
        self._stream = stream
        self._member: zlib._Decompress | None = None
        self._waiting = b""
        self._members = 0
        self._given = 0

    @property
    def limit(self) -> int:
        """More bytes than this the file cannot hold."""
        return self.size * (MAX_DEFLATE_RATIO if self.packed else 1)

    def read(self, count: int) -> bytearray:
        """The next `count` bytes. Memory is taken as they come, so a file that promises more than it holds gets none.

        Raises:
            DataError: the file ends before, cannot be read, or its compressed data are damaged.
        """
        content = bytearray()
        while len(content) < count:
            piece = self._some(min(_PIECE, count - len(content)))
            if not piece:
                raise DataError(
                    f"{self.name}: truncated: {count - len(content)} of {self._given + count - len(content)} bytes "
                    "are missing: copy or download it again"
                )
            content += piece
        return content

    def skip(self, count: int) -> None:
        """Pass over `count` bytes.

        Raises:
            DataError: as `read`.
        """
        while count > 0:
            count -= len(self.read(min(_PIECE, count)))

    def surplus(self, most: int) -> int:
        """How many bytes are left, at most `most`; reading up to there also compares the checksum of gzip.

        Raises:
            DataError: as `read`.
        """
        left = 0
        while left < most and (piece := self._some(most - left)):
            left += len(piece)
        return left

    def _some(self, most: int) -> bytes:
        """Between one byte and `most`; nothing at the end."""
        try:
            piece = self._unpacked(most) if self.packed else self._stream.read(most)
        except OSError as error:
            raise DataError(f"{self.name}: cannot be read ({error.strerror}): check the disk") from error
        except zlib.error as error:
            reason = str(error).rpartition(": ")[2]
            raise DataError(f"{self.name}: damaged gzip ({reason}): copy or download it again") from error
        self._given += len(piece)
        return piece

    def _unpacked(self, most: int) -> bytes:
        while self._member is not None or self._begin():
            assert self._member is not None
            last = not self._waiting and not self._bite()
            piece = self._member.decompress(self._waiting, most)
            self._waiting = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if self._member.eof:
                self._member = None
            elif last:
                raise DataError(f"{self.name}: truncated, its compressed data have no end: copy or download it again")
            if piece:
                return piece
        return b""

    def _begin(self) -> bool:
        """Turn to the next member of gzip; False if there is none. What follows the last one is not looked at."""
        while len(self._waiting) < len(GZIP) and self._bite():
            pass
        if not self._waiting.startswith(GZIP):
            if self._members == 0:
                if not self._waiting:
                    raise DataError(f"{self.name}: empty, not one byte: copy or download it again")
                remedy = "take .gz off its name" if self._waiting.startswith(_NIFTI) else "copy or download it again"
                raise DataError(f"{self.name}: no gzip, whatever its name says: {remedy}")
            return False
        self._members += 1
        if self._members > _MEMBERS_ANYWAY + self._given // _BYTES_A_MEMBER:
            raise DataError(f"{self.name}: a chain of {self._members} tiny gzip members: pack it again")
        self._member = zlib.decompressobj(wbits=31)
        return True

    def _bite(self) -> bool:
        """More of the packed file; False at its end."""
        more = self._stream.read(_BITE)
        self._waiting += more
        return bool(more)


@contextmanager
def opened(path: Path, packed: bool) -> Iterator[Content]:
    """A regular file, links followed, opened for one reading.

    Raises:
        DataError: it is missing, no regular file, or cannot be opened.
    """
    name = shown(path)
    try:
        # Not to wait for somebody to write into a FIFO.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{name}: no such file: check the path, or bring the file back") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{name}: cannot be opened ({reason}): check its name and its permissions") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{name}: no regular file: expected a scan, not a folder, device or pipe")
    with os.fdopen(descriptor, "rb") as stream:
        yield Content(name, stream, packed)
