"""What `limbeck predict` with a spoilt model may come to: exit code 4 and one clear line, or a mask that is right.

Every prediction runs in a child of its own, with limits on time and memory, so that nothing it does is missed.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
from judging import Fault
from model_folders import Made
from model_folders_parts import CANARY, OUTSIDE
from model_folders_sound import Kind, sound
from numpy.typing import NDArray
from segmenting import GRID, write_patient

from limbeck.anatomy import LABEL_SCHEMES
from limbeck.cli import main
from limbeck.methods.saved import CARD, DONE

MODEL, DATA = 4, 3
# Of the processor, and on the clock of a machine that may have other work.
SECONDS = 20
PATIENCE = 180
# Over what the parent holds: a small network, a small patient and what a card of the largest size parses to.
SLACK = 2**29
LONGEST = 1500


# Events of Python's audit; none of them belongs to reading a model.
ACTS = (
    *("pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "code.__new__"),
    *("socket.connect", "ftplib.connect", "urllib.Request", "webbrowser.open", "pty.spawn"),
)


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: its exit code; below 0 the signal that ended it.
        said: what it wrote to standard error.
        seconds: of the processor.
        peak: bytes of memory over what its parent held.
    """

    code: int
    said: str
    seconds: float
    peak: int


def judge(made: Made, root: Path) -> Ended:
    """Predict with a spoilt model and say how that ended.

    Raises:
        Fault: it was neither refused clearly nor used rightly, or it ran something, changed something or cost too much.
    """
    work, mask = made.path.parent, made.path.parent / "mask.nii.gz"
    before = listed(work)
    ended = in_child(lambda: main(_words(made, root, mask)), work / "said.txt")
    check_unharmed(work, before)
    if ended.code == 0:
        if made.outcome == "refused":
            raise Fault(f"was used: {ended.said!r}")
        _check_mask(made, root, mask)
        return ended
    if made.kind == "unspoilt":
        raise Fault(f"is sound and was refused: {ended.said}")
    # A space that is valid may be none for this patient.
    check_refusal(ended, (MODEL, DATA) if made.outcome == "free" else (MODEL,))
    return ended


def check_refusal(ended: Ended, codes: Sequence[int]) -> None:
    """One line, in the words of an error that was foreseen."""
    if ended.code not in codes:
        raise Fault(f"exit code {ended.code}: {ended.said[-2000:]}")
    *others, line = ended.said.splitlines() or [""]
    if others or not line.startswith("limbeck: ") or len(line) > LONGEST or not line.isprintable():
        raise Fault(f"not one clear line: {ended.said[:2000]!r}")
    shape = re.fullmatch(r"limbeck: .+(: .+|; .+)", line)
    if re.search(r"Traceback|Error\b|Exception|<class|object at 0x|has no attribute", line) or not shape:
        raise Fault(f"not `thing: what was found: what would be right`: {line}")


def check_unharmed(work: Path, before: dict[str, int], outputs: Collection[str] = ("mask.nii.gz", "mask.json")) -> None:
    """Nothing was executed, and nothing but the outputs was written."""
    if (work / CANARY).exists():
        raise Fault("a payload was executed")
    changed = {name for name, _ in before.items() ^ listed(work).items()} - {*outputs, "said.txt"}
    if changed:
        raise Fault(f"files were changed: {sorted(changed)[:4]}")


def listed(work: Path) -> dict[str, int]:
    """Every file below a folder, by its name, and when it was last changed."""
    return {str(path.relative_to(work)): path.lstat().st_mtime_ns for path in work.rglob("*") if not path.is_dir()}


def _words(made: Made, root: Path, mask: Path) -> list[str]:
    return ["predict", str(made.path), *_scans(root, made.given), "-o", str(mask)]


def _scans(root: Path, given: str) -> list[str]:
    folder = root / "patient"
    if not folder.is_dir():
        write_patient(folder, 0)
    roles = ("flair", "t1", "t1ce", "t2") if given == "all" else (given,)
    return [word for role in roles for word in (f"--{role}", str(folder / f"patient_{role}.nii.gz"))]


def _check_mask(made: Made, root: Path, path: Path) -> None:
    mask = read_mask(path)
    if mask.shape != GRID.shape or not set(np.unique(mask)) <= set(LABEL_SCHEMES["brats2018"]):
        raise Fault(f"mask {mask.shape} of {np.unique(mask)}")
    right = known(root)[made.base, made.given]
    if made.outcome == "known" and not any(np.array_equal(mask, one) for one in right):
        raise Fault("predicts another mask than any sound generation of it")


def read_mask(path: Path) -> NDArray[np.uint8]:
    """The voxels of a mask."""
    return np.asarray(nib.load(path).dataobj, np.uint8)


@cache
def known(root: Path) -> dict[tuple[Kind, str], list[NDArray[np.uint8]]]:
    """The masks of the sound folders: of the newest generation, and of those that stand in for it.

    They are predicted in this process, so that every library is warm before a child is measured.
    """
    folders = sound(root)
    former, last = root / "former", root / "last"
    for target in (former, last):
        shutil.copytree(folders["run"], target)
    # Of a run that still learns.
    (former / DONE).unlink()
    (former / "best" / CARD).unlink()
    shutil.rmtree(last / "best")

    def masks(given: str, *models: Path) -> list[NDArray[np.uint8]]:
        found = []
        for model in models:
            path = root / "right.nii.gz"
            words = ["predict", str(model), *_scans(root, given), "-o", str(path), "--overwrite"]
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                assert main(words) == 0
            found.append(read_mask(path))
        return found

    return {
        ("run", "all"): masks("all", folders["run"], former, last),
        ("folder", "all"): masks("all", folders["folder"], former),
        ("pack", "all"): masks("all", folders["pack"]),
        ("pack", "flair"): masks("flair", folders["pack"]),
    }


# --- children ---------------------------------------------------------------------------------------------------------


def in_child(task: Callable[[], int], said: Path) -> Ended:
    """Run a task in a child with limits; whatever it prints goes to a file.

    Raises:
        Fault: it did not end.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(task, said, writing)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], PATIENCE)
        if not ready:
            os.kill(child, signal.SIGKILL)
        told = os.read(reading, 2**16) if ready else b""
    finally:
        os.close(reading)
        _, status = os.waitpid(child, 0)
    text = said.read_text(encoding="utf-8", errors="replace")
    if not ready:
        raise Fault(f"did not end within {PATIENCE} s: {text[-300:]}")
    if not told:
        raise Fault(f"died of signal {os.WTERMSIG(status)}: {text[-300:]}")
    content = json.loads(told)
    if content["acts"]:
        raise Fault(f"did what no model may make it do: {content['acts'][:3]}")
    if content["peak"] > SLACK:
        raise Fault(f"took {content['peak'] / 2**20:.0f} MiB")
    return Ended(content["code"], text, content["seconds"], content["peak"])


def _work(task: Callable[[], int], said: Path, pipe: int) -> None:
    """What the child does; it never comes back from here."""
    code, acts = 70, []
    sys.addaudithook(lambda event, arguments: _watch(event, arguments, said.parent, acts))
    begun, before = time.process_time(), _most_memory()
    try:
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.stdout, sys.stderr = io.StringIO(), os.fdopen(2, "w", closefd=False)
        _limit()
        code = task()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace")[:4000])
    finally:
        peak = max(_most_memory() - before, 0)
        facts = {"code": code, "seconds": time.process_time() - begun, "peak": peak, "acts": acts[:10]}
        os.write(pipe, json.dumps(facts).encode())
        os._exit(0)


def _watch(event: str, arguments: tuple[object, ...], work: Path, acts: list[str]) -> None:
    """Note what only executed data would do: build objects of a pickle, start programs, read what a link leads to."""
    if event in ACTS:
        acts.append(f"{event} {arguments}"[:200])
    elif (
        event == "open"
        and str(work) in str(arguments[0])
        and work / OUTSIDE in Path(str(arguments[0])).resolve().parents
    ):
        acts.append(f"open {arguments[0]}")


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    if sys.platform == "linux":
        held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + 2 * SLACK, held + 2 * SLACK))


def _most_memory() -> int:
    """The most that this process has held, in bytes; 0 where the system does not tell."""
    path = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", path.read_text()) if path.exists() else None
    return int(found[1]) * 1024 if found else 0
