"""Files that are whole or absent: written beside their target, synced, then renamed.

A temporary file in the system's own temporary folder would have to be copied over a file-system border, which is
not atomic; so the temporary file always lies in the target's folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

from limbeck.errors import ResourceError

_LEFT_BEHIND = re.compile(r"\.[0-9a-f]{12}\.(tmp|old)\..+")
# A full disk, a quota, and a limit on the size of one file.
_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it is synced and takes the target's name.

    The temporary name keeps the target's suffixes, since writers choose their format by them.

    Raises:
        ResourceError: the disk is full, a quota or limit reached, or nothing may be written there; the old target is
            untouched.
    """
    target = Path(target)
    # Neither two threads, nor two machines on one file server whose processes have the same number, may meet.
    temporary = target.with_name(f".{secrets.token_hex(6)}.tmp.{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)
    except Exception as error:
        if lacks_space(error):
            raise ResourceError(f"no space left to write {target}: free some and run the command again") from error
        if may_not_write(error):
            raise ResourceError(f"{target} cannot be written: {error.strerror}: expected a place of yours") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def left_behind(path: Path) -> bool:
    """Whether a name is one that `replacing` gives, left by a process that was killed: no one's result."""
    return bool(_LEFT_BEHIND.fullmatch(path.name))


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 text file durably."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, content: Any) -> None:
    """Write a JSON file durably, indented, with keys in the order given.

    A name with bytes that are no UTF-8, as a path can have, makes the file ASCII, whose escapes bring them back.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(content, indent=1, allow_nan=False)
    write_text(target, text + "\n")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def lacks_space(error: Exception) -> bool:
    """Whether a write failed for want of space, in the words of Python, NumPy (no number) and Rust (safetensors)."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _SPACE
    return bool(re.search(r"\d+ requested and \d+ written", str(error))) or any(
        f"(os error {code})" in str(error) for code in _SPACE
    )


def may_not_write(error: Exception) -> TypeGuard[OSError]:
    """Whether a write failed for want of permission, or on a disk that is read-only."""
    return isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS)


def sync(path: Path) -> None:
    """Have a file's content or a folder's list of names on the disk before anything else is done.

    Raises:
        OSError: it is missing, or the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
