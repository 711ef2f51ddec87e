"""Give commands too little space, or none to write in, and see that they say so, harm nothing, and go on afterwards.

    python tests/torture/full_disk.py [--only NAME ...] [--out FILE]

Four ways: a tmpfs in a mount namespace of its own that is too small by various amounts, and a read-only mount (both
need root); a limit on the size of one file, as a quota gives; a folder without permission. Each command is to leave
with exit code 5 (3 where its input cannot be used) and one line that says what is wrong and names the place; everything
that lay there before is to be the same byte for byte, or whole and new; with space, the same command is to end as one
that nobody disturbed. Leaves with 1 if one thing was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Before NumPy and torch start, here and in all processes of commands.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "Agg"}

from mounts import LARGE, apart, give_up_override, read_only, resize, small_disk

# How much of what a command writes there is room for.
SHARES = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9)
# Commands that would do the same again; the others differ in what they write, and how.
LEFT_OUT = ("phantom bids",)
# In bytes; semaphores are files too, and no place of a command's.
_SMALLEST = 64


@dataclass
class Tally:
    """What came of one scenario.

    Attributes:
        full: starts on a disk that was too small.
        limited: starts under a limit on the size of one file.
        read_only: starts on a read-only mount.
        forbidden: starts in a folder without permission.
        codes: exit code -> how often.
        lines: what was said, numbers and names taken out -> how often.
        faults: a line each.
    """

    full: int = 0
    limited: int = 0
    read_only: int = 0
    forbidden: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def in_a_child(action: Callable[[], Any]) -> Any:
    """What an action gives in a process of its own, as JSON brings it here.

    Raises:
        RuntimeError: it raised, or the process died.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            answer = {"found": action()}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        with os.fdopen(theirs, "w") as stream:
            json.dump(answer, stream)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    answer = json.loads(text or '{"error": "the process died"}')
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["found"]


def may_mount() -> bool:
    """Whether this user may have mounts of their own."""
    with tempfile.TemporaryDirectory() as folder:

        def tried() -> bool:
            with suppress(OSError):
                apart()
                small_disk(Path(folder), 2**20)
                return True
            return False

        return bool(in_a_child(tried))


# --- trials -----------------------------------------------------------------------------------------------------------


class Trials:
    """One scenario under all hindrances; lives in a process of its own."""

    def __init__(self, scenario: Any, bench: Any, work: Path, temporary: Path, change: Callable[[], None]) -> None:
        from kill_moments import Surroundings  # noqa: PLC0415

        self.scenario, self.bench = scenario, bench
        self.words = scenario.words(bench)
        self.calm = Surroundings(work, temporary)
        self.change = change
        self.tally = Tally()

    def undisturbed(self, measure: Callable[[], int]) -> tuple[int, int]:
        """Do it once; gives what was measured before and after."""
        self.prepare()
        before = measure()
        ended = self.run()
        if ended.code != 0:
            raise RuntimeError(f"{self.scenario.name}, undisturbed: {ended.told}")
        self.right = self.content()
        return before, measure()

    def sizes(self) -> list[int]:
        """Bytes of the files that an undisturbed command wrote, in order; just after it did."""
        written = (name for name, digest in self.right.items() if self.before.get(name) != digest)
        return sorted((self.calm.folder / name).stat().st_size for name in written)

    def prepare(self) -> None:
        """Empty the work folder, which may be a mount, and fill it with what the command finds."""
        from kill_scenarios import clear  # noqa: PLC0415

        clear(self.calm.folder)
        self.scenario.prepare(self.bench, self.calm)
        self.before = self.content()

    def run(self, change: Callable[[], None] = lambda: None) -> Any:
        """Start the command."""
        from kill_moments import Surroundings, run  # noqa: PLC0415

        def both() -> None:
            self.change()
            change()

        return run(self.words, Surroundings(self.calm.folder, self.calm.temporary, both))

    def hindered(self, what: str, change: Callable[[], None] = lambda: None, *, must_fail: bool = True) -> None:
        """Start the command where it cannot end, and judge what it says and leaves."""
        ended = self.run(change)
        self.tally.codes[str(ended.code)] = self.tally.codes.get(str(ended.code), 0) + 1
        if ended.code == 0 and not must_fail:
            return
        said = ended.told.strip().splitlines()
        last = said[-1] if said else ""
        kind = _kind(last)
        self.tally.lines[kind] = self.tally.lines.get(kind, 0) + 1
        if ended.code not in (5, 3):
            self.blame(what, f"exit code {ended.code}: {ended.told.strip()[-500:]}")
        elif not self._clear(last):
            self.blame(what, f"no clear line: {last}")
        for line in said[:-1]:
            if not line.startswith("limbeck: "):
                self.blame(what, f"more than one line: {line}")
                break
        self.unharmed(what)

    def _clear(self, line: str) -> bool:
        """Whether a line names a file or folder that the command was to write, or the temporary folder."""
        written = {part for name in self.right for part in Path(name).parts}
        places = (*written, str(self.calm.folder), str(self.calm.temporary))
        return line.startswith("limbeck: ") and any(place in line for place in places)

    def unharmed(self, what: str) -> None:
        """Blame what was there before and is neither the same nor as it should become."""
        from kill_judging import problems  # noqa: PLC0415

        now = self.content()
        for name, digest in self.before.items():
            if now.get(name) not in (digest, self.right.get(name)) and not name.endswith((".lock", "log.csv")):
                self.blame(what, f"{name} is {'another' if name in now else 'gone'}")
        for line in problems(self.calm.folder, self.scenario.masks):
            self.blame(what, line)

    def finished(self, what: str) -> None:
        """The same command, unhindered."""
        from kill_judging import differences  # noqa: PLC0415

        ended = self.run()
        if ended.code != 0:
            self.blame(what, f"does not go on: {ended.code}: {ended.told.strip()[-500:]}")
            return
        for line in differences(self.content(), self.right):
            self.blame(what, f"then: {line}")

    def content(self) -> dict[str, str]:
        """What lies in the work folder."""
        from kill_judging import content  # noqa: PLC0415

        return content(self.calm.folder)

    def blame(self, what: str, line: str) -> None:
        """Note a fault."""
        self.tally.faults.append(f"{what}: {line}")


def on_small_disks(trials: Trials, shares: tuple[float, ...]) -> None:
    """Too little space, by various amounts; then enough. And a disk that nobody may write to."""
    place = trials.calm.folder
    apart()
    small_disk(place, LARGE)
    before, after = trials.undisturbed(lambda: _used(place))
    largest = trials.sizes()[-1]
    for share in shares:
        trials.prepare()
        # A size of 0 would be none at all.
        resize(place, max(4096, _used(place) + int(share * max(after - before, largest)) // 4096 * 4096))
        what = f"disk with room for {share:.0%}"
        # What replaces files needs no more room than one of them.
        trials.hindered(what, must_fail=share == 0 or (after - before > largest and share < 0.95))
        resize(place, LARGE)
        trials.finished(what)
        trials.tally.full += 1
    trials.prepare()
    read_only(place, True)
    trials.hindered("read-only disk")
    read_only(place, False)
    trials.finished("read-only disk")
    trials.tally.read_only += 1


def without_root(trials: Trials, limits: int) -> None:
    """A limit on the size of a file; a folder that nothing may be made in."""
    trials.undisturbed(lambda: 0)
    sizes = trials.sizes()
    for limit in sorted({sizes[-1] // 2, sizes[len(sizes) // 2] - 1, _SMALLEST}, reverse=True)[:limits]:
        trials.prepare()
        trials.hindered(
            f"files of {limit} bytes at most",
            lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit,) * 2),
        )
        trials.finished(f"files of {limit} bytes at most")
        trials.tally.limited += 1
    trials.prepare()
    with forbidden(trials.calm.folder):
        trials.hindered("no permission", give_up_override if os.geteuid() == 0 else lambda: None)
    trials.finished("no permission")
    trials.tally.forbidden += 1


@contextmanager
def forbidden(folder: Path) -> Iterator[None]:
    """Take away the right to write in a folder and all below it."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    modes = [path.stat().st_mode for path in folders]
    for path in reversed(folders):
        path.chmod(0o555)
    try:
        yield
    finally:
        for path, mode in zip(folders, modes, strict=True):
            path.chmod(mode)


def _used(place: Path) -> int:
    found = os.statvfs(place)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _kind(line: str) -> str:
    return re.sub(r"\S*/\S*|\b[\w.+-]*\d[\w.+-]*", "...", line)[:160]


# --- all of it --------------------------------------------------------------------------------------------------------


def torture(words: argparse.Namespace) -> dict[str, Tally]:
    """Every scenario; name -> tally."""
    from careless import CARELESS  # noqa: PLC0415
    from kill_moments import preload  # noqa: PLC0415
    from kill_scenarios import SCENARIOS, make_bench  # noqa: PLC0415

    preload()
    mounts = may_mount()
    if not mounts:
        print("no right to mount: disks are not made small, only files", file=sys.stderr)
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="limbeck-disk-") as root:
        temporary = Path(root) / "temporary"
        temporary.mkdir()
        names = words.only or [name for name in SCENARIOS if name not in LEFT_OUT]
        needs = [SCENARIOS[name].needs for name in names]
        bench = make_bench(Path(root) / "bench", temporary, needs, words.phantoms)
        for name in names:
            started = time.monotonic()

            def tried(way: Callable[[Trials], None], name: str = name) -> dict[str, Any]:
                trials = Trials(SCENARIOS[name], bench, Path(root) / "work", temporary, CARELESS[words.careless])
                try:
                    way(trials)
                except RuntimeError as error:
                    trials.blame("cannot begin", str(error))
                return asdict(trials.tally)

            ways: list[Callable[[Trials], None]] = [lambda trials: without_root(trials, words.limits)]
            if mounts:
                ways.insert(0, lambda trials: on_small_disks(trials, tuple(words.shares)))
            whole = Tally()
            for way in ways:
                _add(whole, in_a_child(lambda way=way: tried(way)))
                shutil.rmtree(Path(root) / "work", ignore_errors=True)
            whole.seconds = round(time.monotonic() - started, 1)
            tallies[name] = whole
            if sys.stderr.isatty() or words.verbose:
                print("\n".join([line(name, whole), *whole.faults]), file=sys.stderr, flush=True)
    return tallies


def _add(whole: Tally, part: dict[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, dict):
            old = getattr(whole, name)
            setattr(whole, name, {key: old.get(key, 0) + value.get(key, 0) for key in {**old, **value}})
        else:
            setattr(whole, name, getattr(whole, name) + value)


HEAD = "scenario                     small disks  read-only  file limits  no permission  faults      s  exit codes"


def line(name: str, tally: Tally) -> str:
    """A row of the table."""
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(tally.codes.items()))
    return (
        f"{name:<27} {tally.full:>12} {tally.read_only:>10} {tally.limited:>12} {tally.forbidden:>14} "
        f"{len(tally.faults):>7} {tally.seconds:>6.0f}  {codes}"
    )


def main() -> int:
    from careless import CARELESS  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", help="scenarios")
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES, help="of the space that is needed")
    parser.add_argument("--limits", type=int, default=3, help="how many limits on the size of a file, at most")
    parser.add_argument("--careless", choices=CARELESS, default="none", help="break the writer: must be caught")
    parser.add_argument("--phantoms", type=Path, metavar="FOLDER", help="take these and draw none, to be quick")
    parser.add_argument("--verbose", action="store_true", help="show each scenario when it is done")
    parser.add_argument("--out", type=Path, help="JSON to write")
    words = parser.parse_args()
    tallies = torture(words)
    print("\n".join([HEAD, *(line(name, tally) for name, tally in tallies.items())]))
    if words.out:
        figures = {name: asdict(tally) for name, tally in tallies.items()}
        words.out.parent.mkdir(parents=True, exist_ok=True)
        words.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, tally in tallies.items():
        for fault in tally.faults[:20]:
            print(f"  {name}: {fault}")
    return int(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    raise SystemExit(main())
