"""What reading a spoilt file may come to: one clear line, or a success that is right. Anything else is a fault.

Right is what nibabel reads, checked apart, in values and place; and what was read can be written again. A fault is
also a warning, a word on the screen, more than `SECONDS`, or more memory than `SLACK` over what an honest reader
of this content holds.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import re
import resource
import signal
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import nibabel as nib
import numpy as np
from nifti_files import Made

from limbeck.anatomy import LABEL_SCHEMES, Modality
from limbeck.data.grid import Grid
from limbeck.data.preprocess import prepare
from limbeck.data.resample import resize_array
from limbeck.data.source import Source, shown
from limbeck.data.volume import read_grid, read_labels, read_volume, write_labels
from limbeck.errors import DataError

# Of the processor, and on the clock: the machine may have other work, but a read that waits for ever takes no time.
SECONDS = 10
PATIENCE = 120
SLACK = 2**26
SPACING_MM = 2.0
# Read bytes, as float32, as labels in 64 bits and once more in comparisons; and what torch and zlib take on the way.
COPIES = 8
# Of a voxel in model space: images of four sequences, the volume, its mask and its share, and what resampling takes.
MODEL_BYTES = 64
LONGEST = 400
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


# What nibabel mends in a header it would tell on the screen.
nib.imageglobals.logger.disabled = True
# Otherwise the last resort of logging prints.
logging.getLogger("limbeck").addHandler(logging.NullHandler())
# The first call of a library takes what none after it does.
resize_array(np.zeros((8, 8, 8), np.float32), (2, 3, 4))


class Fault(Exception):
    """Reading went wrong, and how."""


class _TooLong(BaseException):
    """Not an Exception, so that nobody catches it."""


@dataclass(frozen=True)
class Verdict:
    """How the reading of a file by one function ended.

    Attributes:
        refused: the line, without the file's name; empty if it was read.
        seconds: what it took of the processor.
        peak: bytes of memory over what was held before; 0 where the system does not tell.
    """

    refused: str
    seconds: float
    peak: int


READERS: dict[str, Callable[[Source], Any]] = {
    "read_volume": read_volume,
    "read_labels": lambda source: read_labels(source, "brats2018"),
    "read_grid": read_grid,
    "prepare": lambda source: prepare({Modality.T1: source}, SPACING_MM),
}


def judge(made: Made, reader: str) -> Verdict:
    """Read a file and say how that ended.

    Raises:
        Fault: it was neither read rightly nor refused clearly, or cost too much.
    """
    result, line, seconds, peak = _measured(made, READERS[reader])
    voxels = result.geometry.shape if reader == "prepare" and result is not None else (0,)
    allowed = SLACK + COPIES * made.content + MODEL_BYTES * int(np.prod(voxels, dtype=np.int64))
    if peak > allowed:
        raise Fault(f"{peak / 2**20:.0f} MiB, where {allowed / 2**20:.0f} are enough")
    if result is None:
        _check_line(made.path, line)
        if made.sound and (reader != "read_labels" or made.labels):
            raise Fault(f"a sound file is refused: {line}")
        return Verdict(line.replace(shown(made.path), ""), seconds, peak)
    _check_right(made.path, reader, result)
    return Verdict("", seconds, peak)


def _measured(made: Made, read: Callable[[Source], Any]) -> tuple[Any, str, float, int]:
    result, line, words = None, "", io.StringIO()
    before = _resident(reset=True)
    begun = time.process_time()
    with (
        warnings.catch_warnings(record=True) as warned,
        _heard() as logged,
        redirect_stdout(words),
        redirect_stderr(words),
        _limited(),
    ):
        warnings.simplefilter("always")
        try:
            result = read(Source(made.path))
        except DataError as error:
            line = str(error)
        except _TooLong:
            raise Fault(f"more than {SECONDS} s of work, or {PATIENCE} s of waiting") from None
        except Exception as error:
            raise Fault(f"{type(error).__name__}: {error}") from error
    seconds = time.process_time() - begun
    peak = _resident() - before
    loud = [str(warning.message) for warning in warned] + [line for line in logged if "is a guess" not in line]
    if loud or words.getvalue():
        raise Fault(f"said {loud or words.getvalue()!r}")
    return result, line, seconds, peak


def _check_line(path: Path, line: str) -> None:
    name = shown(path)
    if "\n" in line or len(line) > LONGEST + len(name):
        raise Fault(f"not one short line: {line!r}")
    if name not in line:
        raise Fault(f"does not name the file: {line!r}")
    if re.search(r"Traceback|Error\b|Exception|<class|object at 0x", line.replace(name, "")):
        raise Fault(f"in a programmer's words: {line!r}")
    if not re.match(r".+: .+: .+|: .+ \(.+\): .+", line.replace(name, "file")):
        raise Fault(f"not `file: what was found: what would be right`: {line!r}")


def _check_right(path: Path, reader: str, result: Any) -> None:
    """Compare with nibabel, of a copy that is unpacked, without extensions, and goes by a plain name."""
    plain = path.with_name("plain.nii")
    plain.write_bytes(_unpacked(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Any = nib.load(plain)
            # The voxels of a grid are not read.
            data = image.dataobj if reader != "read_grid" else np.broadcast_to(0, image.shape)
            values = np.asarray(data, np.float64).astype(np.float32)
    except Exception as error:
        raise Fault(f"read, but not by nibabel: {type(error).__name__}: {error}") from error
    finally:
        plain.unlink()
    values = values.reshape(values.shape[:3])
    grid = result if reader == "read_grid" else result.geometry.grid if reader == "prepare" else result[1]
    _check_grid(grid, image.affine, values.shape)
    if reader == "read_volume":
        _check_equal(result[0], values)
    elif reader == "read_labels":
        codes = LABEL_SCHEMES["brats2018"]
        # A scale factor may leave codes half of a small step beside whole numbers.
        values = np.where(np.abs(values - np.round(values)) <= 0.0501, np.round(values), values)
        wanted = np.vectorize(lambda value: int(codes[int(value)]) if value in codes else 255)(values)
        _check_equal(result[0], wanted)
        _check_written(path, result[0], grid)
    elif reader == "prepare":
        _check_prepared(result, values, image.affine)


def _unpacked(path: Path) -> bytes:
    """What a file holds up to its end, or up to what is no gzip; nothing is announced between header and voxels."""
    content = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            content = _as_far_as_it_goes(path)
    # A header alone is enough for a grid; nibabel wants a little more.
    content = content.ljust(600, b"\0")
    header = 540 if 540 in (int.from_bytes(content[:4], order) for order in ("little", "big")) else 348
    return content[:header] + bytes(4) + content[header + 4 :]


def _as_far_as_it_goes(path: Path) -> bytes:
    """One byte at a time, since what a piece held before its fault would be lost."""
    content, member = bytearray(), zlib.decompressobj(wbits=31)
    with suppress(zlib.error):
        for byte in path.read_bytes():
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            content += member.decompress(bytes([byte]))
    return bytes(content)


def _check_grid(grid: Grid, affine: np.ndarray, shape: tuple[int, ...]) -> None:
    if grid.shape != shape:
        raise Fault(f"shape {grid.shape}, nibabel reads {shape}")
    # A grid is kept in the 32 bits of NIfTI-1.
    if not np.allclose(grid.affine, affine, rtol=1e-5, atol=1e-4):
        raise Fault(f"affine {grid.affine.tolist()}, nibabel reads {affine.tolist()}")
    again = Grid.from_json(json.loads(json.dumps(grid.to_json(), allow_nan=False)))
    if again.shape != grid.shape or not np.array_equal(again.affine, grid.affine) or again.header != grid.header:
        raise Fault("the grid does not come back from JSON as it was")


def _check_equal(read: np.ndarray, wanted: np.ndarray) -> None:
    if not np.array_equal(read, wanted) or not np.isfinite(read).all():
        raise Fault(f"{int((read != wanted).sum())} of {wanted.size} voxels differ from what nibabel reads")


def _check_written(path: Path, labels: np.ndarray, grid: Grid) -> None:
    out = path.with_name("written.nii.gz")
    write_labels(out, labels, grid, "brats2018")
    image: Any = nib.load(out)
    again, _ = read_labels(Source(out), "brats2018")
    out.unlink()
    if not np.array_equal(again, labels) or not np.array_equal(image.affine, grid.affine):
        raise Fault("labels that are written on this grid are not what was read")


def _check_prepared(prepared: Any, values: np.ndarray, affine: np.ndarray) -> None:
    images = prepared.images[Modality.T1].astype(np.float64)
    if images.shape != prepared.geometry.shape or not np.isfinite(prepared.images).all():
        raise Fault("prepared voxels are not finite or not in the geometry's shape")
    if prepared.available.tolist() != [modality is Modality.T1 for modality in Modality]:
        raise Fault("the wrong sequence is available")
    # Below the smallest normal number of 32 bits, all digits are lost.
    if prepared.geometry.resamples or np.abs(values).max() < 1e-35:
        return
    turned: Any = nib.as_closest_canonical(nib.Nifti1Image(values, affine))
    wanted = np.asarray(turned.dataobj).transpose(2, 1, 0).astype(np.float64)
    brain = wanted != 0
    # What 32 bits can tell of values that differ by little.
    resolved = 2e-3 + 2**-23 * np.abs(wanted).max() / wanted[brain].std()
    wanted[brain] = (wanted[brain] - wanted[brain].mean()) / wanted[brain].std()
    if not np.allclose(images, wanted, rtol=2e-3, atol=resolved):
        raise Fault("prepared voxels are not nibabel's, turned and normalised")


@contextmanager
def _limited() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = [signal.signal(number, late) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Everything that is logged, by anybody."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)


def _resident(reset: bool = False) -> int:
    """The most memory that this process has held since the last reset, in bytes; after a reset, what it holds."""
    if not _CLEAR.exists():
        return 0
    if reset:
        _CLEAR.write_text("5")
    found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    return int(found[1]) * 1024 if found else 0


def cap_memory(spare: int = 2**33) -> None:
    """Let this process take no more than `spare` bytes, so that a fault is an error and not a machine that swaps."""
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (spare, spare))
