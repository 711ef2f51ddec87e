"""What a cohort keeps on disk, read back with distrust: JSON and arrays that may be damaged, foreign or no files."""

from __future__ import annotations

import json
import re
import tokenize
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.data.source import shown
from limbeck.errors import DataError

_AGAIN = "import the cohort again"
_NUMPY = b"\x93NUMPY"
# What NumPy puts before an array of ours, and how long it is. A training step reads a dozen arrays: NumPy takes longer
# to understand this text than to map the file, and silences the warnings of all threads meanwhile.
_HEADER = 128
_USUAL = re.compile(
    rb"\x93NUMPY\x01\x00\x76\x00\{'descr': '(?P<kind><[fi]2|\|u1)', 'fortran_order': False, "
    rb"'shape': \((?P<shape>\d{1,4}(?:, \d{1,4}){1,3})\), \} +\n"
)


def read_object(path: Path, absent: str = _AGAIN) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: the file.
        absent: what would be right if there is none.

    Raises:
        DataError: it is missing, cannot be read, or holds something else.
    """
    try:
        if not path.exists():
            raise DataError(f"{shown(path)}: no such file: {absent}")
        _check_regular(path)
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror}): check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(path)}: no valid JSON ({_short(error)}): {_AGAIN}") from error
    if not isinstance(content, dict):
        found = type(content).__name__
        raise DataError(f"{shown(path)}: {found} where a JSON object with a version is expected: {_AGAIN}")
    return content


def read_array(path: Path) -> NDArray[Any]:
    """The array in a `.npy` file, memory-mapped.

    Raises:
        DataError: the file is missing, damaged, or another kind of file.
    """
    try:
        _check_regular(path)
        with path.open("rb") as stream:
            start = stream.read(_HEADER)
            # NumPy would open archives too, and hand out something else than an array.
            if not start.startswith(_NUMPY):
                raise ValueError("no array of NumPy")
            if (usual := _USUAL.match(start)) and usual.end() == _HEADER:
                shape = tuple(map(int, usual["shape"].split(b",")))
                return np.memmap(stream, usual["kind"].decode(), "r", _HEADER, shape)
        with warnings.catch_warnings():
            # A damaged header is taken for one of Python 2.
            warnings.simplefilter("ignore")
            # Pickle stays off: nothing that was received as data is executed.
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(
            f"{shown(path)}: missing or unreadable ({error.strerror or _short(error)}): {_AGAIN}"
        ) from error
    except (ValueError, TypeError, EOFError, OverflowError, SyntaxError, RecursionError, tokenize.TokenError) as error:
        raise DataError(f"{shown(path)}: damaged ({_short(error)}): {_AGAIN}") from error
    return array


def _check_regular(path: Path) -> None:
    """Not to wait for ever on a FIFO."""
    if path.exists() and not path.is_file():
        raise DataError(f"{shown(path)}: no regular file: {_AGAIN}")


def _short(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0]
    return f"{text[:100]}..." if len(text) > 100 else text or type(error).__name__
