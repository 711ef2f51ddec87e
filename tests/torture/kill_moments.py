"""Commands in processes that are killed: at a moment of time, right before a system call, or shortly after one.

Starting Python and importing torch takes seconds, so this process imports everything once, and every command runs in
a fork of it that leads a process group of its own. A kill is SIGKILL to the whole group. Linux only.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap
import multiprocessing
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NoReturn

# What a command may not take: far longer than any here does, on the slowest machine.
PATIENCE_S = 300.0
# How long processes may outlive the one that started them.
GRACE_S = 20.0
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# What Python says that it is about to do to a file -> our word for it.
_KINDS = {
    "open": "open",
    "os.rename": "rename",
    "os.remove": "remove",
    "os.mkdir": "mkdir",
    "os.rmdir": "rmdir",
    "os.truncate": "truncate",
}
_WORDS = ("", *_KINDS.values(), "fsync")
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Moment:
    """When a command is killed.

    Attributes:
        kind: by the clock, right before the call of a number, or some time after that call began.
        seconds: since the start, or since the call.
        call: the number of the call that opens, syncs, renames, removes or makes a file or folder, from 1.
        alone: whether the command's first process dies alone, and those that it started have to notice.
    """

    kind: Literal["never", "time", "before", "after"] = "never"
    seconds: float = 0.0
    call: int = 0
    alone: bool = False

    def __str__(self) -> str:
        what = {
            "never": "never",
            "time": f"after {self.seconds:.3f} s",
            "before": f"before call {self.call}",
            "after": f"{self.seconds * 1e3:.2f} ms after call {self.call}",
        }[self.kind]
        return f"{what}, alone" if self.alone else what


NEVER = Moment()


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; None if it was killed.
        calls: how many counted calls it made.
        word: the call at which it was killed, if it was killed at one.
        seconds: how long it ran.
        told: what it wrote to standard error.
        trail: of a command that was not to be killed, a word and a path for every call.
        group: the number of its processes' group.
    """

    code: int | None
    calls: int
    word: str
    seconds: float
    told: str
    trail: tuple[str, ...]
    group: int

    @property
    def killed(self) -> bool:
        """Whether the kill came in time."""
        return self.code is None


@dataclass(frozen=True)
class Surroundings:
    """Where and how commands run.

    Attributes:
        folder: the working folder.
        temporary: the system's temporary folder for them.
        change: done in the process before the command: a limit, another way of writing.
        fresh: whether a process of its own is started, as a user starts it.
    """

    folder: Path
    temporary: Path
    change: Callable[[], None] = lambda: None
    fresh: bool = False


def preload() -> None:
    """Import what commands import, so that their processes need not."""
    packages = ("commands", "benchmark", "data", "evaluation", "inference", "methods", "phantom", "report", "training")
    for package in map(importlib.import_module, (f"limbeck.{name}" for name in packages)):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            with suppress(ImportError):
                importlib.import_module(module.name)
    for name in ("limbeck.cli", "limbeck.demo", "lightning.fabric", "matplotlib.pyplot", "rich.console", "scipy.stats"):
        importlib.import_module(name)
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise RuntimeError(f"{threads} threads run, and a fork would lose all but one: set OMP_NUM_THREADS=1")
    # Processes whose parent was killed come to this one, which can then tell when they have ended.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(words: Sequence[str], where: Surroundings, moment: Moment = NEVER) -> Ended:
    """Run a command and kill it at a moment, if it has not ended by then."""
    if where.fresh and moment.kind not in ("never", "time"):
        raise ValueError("calls are counted in forks alone")
    with (
        mmap.mmap(-1, 16) as shared,
        _pipe() as (hear, tell),
        tempfile.TemporaryFile() as trail,
        _pipe() as (ours, theirs),
    ):
        started = time.monotonic()
        pid = _started(words, where, tell) if where.fresh else 0
        if not pid:
            pid = os.fork()
            if pid == 0:
                _work(words, where, moment, _Counter(shared, moment, theirs, trail.fileno()), tell)
        with suppress(OSError):
            # The child does the same; whoever comes first.
            os.setpgid(pid, pid)
        killed = _watch(pid, moment, ours)
        status = os.waitpid(pid, 0)[1]
        seconds = time.monotonic() - started
        # A kill "before" a call comes from within.
        killed = killed or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL)
        if not moment.alone and outlived(pid):
            raise ChildProcessError(f"limbeck {words[0]} left processes behind")
        calls, word = _read(shared)
        code = None if killed else os.waitstatus_to_exitcode(status)
        return Ended(code, calls, word, seconds, _heard(hear), tuple(_text(trail).splitlines()), pid)


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def _started(words: Sequence[str], where: Surroundings, told: int) -> int:
    program = "import sys; from limbeck.cli import main; sys.exit(main())"
    environment = {**os.environ, "TMPDIR": str(where.temporary)}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=where.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=told,
        start_new_session=True,
    )
    # Waited for by its number.
    process.returncode = 0
    return process.pid


def _work(words: Sequence[str], where: Surroundings, moment: Moment, counter: _Counter, told: int) -> NoReturn:
    """The child: become the command."""
    code = 70
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        os.dup2(told, 2)
        os.chdir(where.folder)
        os.environ["TMPDIR"] = str(where.temporary)
        tempfile.tempdir = None
        _fork_instead_of_spawn()
        where.change()
        counter.install()
        from limbeck.cli import main  # noqa: PLC0415

        code = main(list(words))
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def patch_everywhere(name: str, before: object, after: object) -> None:
    """Replace a function in every module of the package that has imported it."""
    for module in [module for key, module in sys.modules.items() if key.startswith("limbeck")]:
        if getattr(module, name, None) is before:
            setattr(module, name, after)


def _fork_instead_of_spawn() -> None:
    """Processes that a command starts import nothing anew either, and count their calls with it."""
    original = multiprocessing.get_context

    def forking(method: str | None = None) -> Any:
        return original("fork")

    multiprocessing.get_context = forking  # type: ignore[assignment]
    patch_everywhere("get_context", original, forking)


class _Counter:
    """Counts calls that change files, over all processes of a command, and acts at one of them."""

    def __init__(self, shared: mmap.mmap, moment: Moment, pipe: int, trail: int) -> None:
        self.shared, self.moment, self.pipe, self.trail = shared, moment, pipe, trail

    def install(self) -> None:
        sync = os.fsync

        def counted(descriptor: int) -> None:
            self.count("fsync")
            sync(descriptor)

        os.fsync = counted
        sys.addaudithook(self._hook)

    def count(self, word: str, path: str = "") -> None:
        if self.moment.kind == "never":
            # A limit on the command's files holds for this one too.
            with suppress(OSError):
                os.write(self.trail, f"{word} {path}\n".encode(errors="replace"))
        number = int.from_bytes(self.shared[:8], "little") + 1
        self.shared[:8] = number.to_bytes(8, "little")
        if number != self.moment.call:
            return
        self.shared[8:9] = bytes([_WORDS.index(word)])
        if self.moment.kind == "after":
            os.write(self.pipe, b".")
        elif self.moment.kind == "before":
            # The group has the number of its first process.
            (os.kill if self.moment.alone else os.killpg)(os.getpgrp(), signal.SIGKILL)
            # Another process or thread of the command may run on for a moment, this one must not.
            time.sleep(0.01)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        word = _KINDS.get(event)
        if word is None or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        if word == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            return
        path = os.fsdecode(arguments[0])
        if not path.startswith(("/dev/", "/proc/")) and "__pycache__" not in path:
            self.count(word, path)


def _heard(pipe: int) -> str:
    """What a pipe holds, which is more than a command says; a file would be under the limits that a command is."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        return os.read(pipe, 2**16).decode(errors="replace")
    return ""


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def _read(shared: mmap.mmap) -> tuple[int, str]:
    return int.from_bytes(shared[:8], "little"), _WORDS[shared[8]]


def _watch(pid: int, moment: Moment, pipe: int) -> bool:
    """Wait for the end or the moment; whether the process was killed here."""
    process = os.pidfd_open(pid)
    try:
        limit = moment.seconds if moment.kind == "time" else PATIENCE_S
        ready, _, _ = select.select([process, pipe], [], [], limit)
        if pipe in ready and process not in ready:
            if moment.kind == "after":
                _wait_exactly(moment.seconds)
            ready, _, _ = select.select([process], [], [], 0)
        if process in ready:
            return False
        (os.kill if moment.alone else os.killpg)(pid, signal.SIGKILL)
    finally:
        os.close(process)
    if moment.kind in ("never", "before"):
        os.waitpid(pid, 0)
        raise TimeoutError(f"the command took longer than {PATIENCE_S:.0f} s")
    return True


def _wait_exactly(seconds: float) -> None:
    # A sleep of microseconds takes far longer.
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def outlived(group: int) -> bool:
    """Whether processes of a command are still there long after its end; if so, they are ended."""
    end = time.monotonic() + GRACE_S
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-group, os.WNOHANG)[0]:
                pass
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        if time.monotonic() > end:
            os.killpg(group, signal.SIGKILL)
            return True
        time.sleep(0.002)
