"""Kill commands at random moments, give them again, and see whether what they leave is whole and ends the same.

    python tests/torture/kills.py [--kills 280] [--only NAME ...] [--seed 0] [--out FILE]

Each series starts a command in a fresh folder, kills it up to three times, lets it end, and compares the end with that
of a command that nobody disturbed. After every kill each file under a final name is read and compared with its
checksums. Half of the series work on another file system than that of the temporary folder, in shared memory.
Leaves with 1 if one thing was wrong; a line says how to do its series again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Before NumPy and torch start, here and in all processes of commands.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "Agg"}

from careless import CARELESS

SHARED_MEMORY = Path("/dev/shm")
MOST_KILLS_IN_A_SERIES = 3
# Of all kills; the others come before or shortly after a call that changes files.
BY_THE_CLOCK = 0.3
# Of all kills: the command's first process alone, so that those which it started must notice.
ALONE = 0.15


@dataclass
class Tally:
    """What came of the kills of one scenario.

    Attributes:
        kills: how often a command was killed before its end.
        in_a_write: of these, how often it was syncing, renaming or removing, or left an unfinished file.
        alone: of these, how often its first process was killed alone.
        fresh: of these, how often it was a process of its own, started as a user starts it.
        words: call at which it was killed -> how often.
        series: how often an end was compared with the undisturbed one.
        not_whole: files under final names that were not whole.
        not_equal: ends that were not the undisturbed one.
        stuck: commands that did not go on.
        left_mib: the most that unfinished files under names with a dot took at the end of a series.
        faults: a line each.
    """

    kills: int = 0
    in_a_write: int = 0
    alone: int = 0
    fresh: int = 0
    words: dict[str, int] = field(default_factory=dict)
    series: int = 0
    not_whole: int = 0
    not_equal: int = 0
    stuck: int = 0
    left_mib: float = 0.0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A work folder and a temporary folder."""

    work: Path
    temporary: Path

    @property
    def apart(self) -> bool:
        """Whether they lie on different file systems."""
        return self.work.parent.stat().st_dev != self.temporary.stat().st_dev


@dataclass(frozen=True)
class Undisturbed:
    """The end that every series should have, and how the way there was.

    Attributes:
        content: by file.
        calls: kind of call that changes files, such as `rename` of a `case.json`, -> the numbers of those calls.
        seconds: in a fork.
    """

    content: dict[str, str]
    calls: dict[str, list[int]]
    seconds: float


class Torture:
    """Series of one scenario in one place."""

    def __init__(self, scenario: Any, bench: Any, place: Place, words: argparse.Namespace) -> None:
        from kill_moments import Surroundings  # noqa: PLC0415

        self.scenario, self.bench = scenario, bench
        self.seed, self.before = words.seed, words.before
        self.words = scenario.words(bench)
        self.calm = Surroundings(place.work, place.temporary)
        self.where = Surroundings(place.work, place.temporary, CARELESS[words.careless])
        self.fresh = Surroundings(place.work, place.temporary, fresh=True)
        self.tally = Tally()
        self.undisturbed = self._undisturbed()

    def series(self, number: int, most: int, fresh: bool = False) -> None:
        """One start, up to so many kills, one end."""
        draw = random.Random(f"{self.seed} {self.scenario.name} {number}")
        where = self.fresh if fresh else self.where
        self.scenario.prepare(self.bench, self.calm)
        told = f"series {number}:"
        groups = []
        for _ in range(draw.randint(1, min(most, MOST_KILLS_IN_A_SERIES))):
            moment = self._moment(draw, fresh)
            before = self._leftovers()
            ended = self._run(where, moment)
            if not ended.killed:
                told += f" {moment}: ended with {ended.code};"
                break
            told += f" {moment} {ended.word};"
            groups += [ended.group] if moment.alone else []
            self._count(ended, moment, fresh, bool(self._leftovers() - before))
            self._judge(told)
        self._finish(told, where)
        for group in groups:
            self._check_orphans(group, told)

    def _moment(self, draw: random.Random, fresh: bool) -> Any:
        from kill_moments import Moment  # noqa: PLC0415

        alone = draw.random() < ALONE
        if fresh:
            # What is of interest begins when all is imported.
            return Moment("time", draw.uniform(0.5, 1.0) * self.fresh_seconds(), alone=alone)
        if not self.before and draw.random() < BY_THE_CLOCK:
            return Moment("time", draw.uniform(0, self.undisturbed.seconds), alone=alone)
        # Every kind as likely as any other, or the one that ends the work would hardly ever be met.
        kinds = [kind for kind in sorted(self.undisturbed.calls) if kind.startswith(self.before)]
        call = draw.choice(self.undisturbed.calls[draw.choice(kinds)])
        if self.before or draw.random() < 0.5:
            return Moment("before", call=call, alone=alone)
        return Moment("after", 10 ** draw.uniform(-5, -2.3), call, alone)

    def fresh_seconds(self) -> float:
        """How long the command takes in a process of its own."""
        if not hasattr(self, "_fresh_seconds"):
            self.scenario.prepare(self.bench, self.calm)
            self._fresh_seconds = self._run(self.fresh).seconds
            self._compare("a process of its own:")
            self.scenario.prepare(self.bench, self.calm)
        return self._fresh_seconds

    def _undisturbed(self) -> Undisturbed:
        ends = []
        for where in (self.calm, self.where):
            self.scenario.prepare(self.bench, self.calm)
            ended = self._run(where)
            if ended.code != 0:
                raise RuntimeError(f"{self.scenario.name}, undisturbed: {ended.code}: {ended.told}")
            ends.append(Undisturbed(self._content(), _kinds(ended.trail), ended.seconds))
        from kill_judging import differences  # noqa: PLC0415

        if lines := differences(ends[1].content, ends[0].content):
            raise RuntimeError(f"{self.scenario.name}: two undisturbed ends differ: {lines}")
        if lines := self._problems():
            raise RuntimeError(f"{self.scenario.name}: the undisturbed end is not whole: {lines}")
        return ends[1]

    def _run(self, where: Any, moment: Any = None) -> Any:
        from kill_moments import NEVER, run  # noqa: PLC0415

        return run(self.words, where, moment or NEVER)

    def _count(self, ended: Any, moment: Any, fresh: bool, left: bool) -> None:
        self.tally.kills += 1
        self.tally.in_a_write += left or ended.word in ("fsync", "rename", "remove")
        self.tally.alone += moment.alone
        self.tally.fresh += fresh
        word = ended.word or "by the clock"
        self.tally.words[word] = self.tally.words.get(word, 0) + 1

    def _judge(self, told: str) -> None:
        lines = self._problems()
        self.tally.not_whole += len(lines)
        self._blame(told, lines)

    def _finish(self, told: str, where: Any) -> None:
        ended = self._run(where)
        self.tally.series += 1
        if ended.code != 0:
            self.tally.stuck += 1
            self._blame(told, [f"it does not go on: {ended.code}: {ended.told.strip()[-600:]}"])
            return
        self._judge(told)
        self._compare(told)
        sizes = [(self.where.folder / name).stat().st_size for name in self._leftovers()]
        self.tally.left_mib = max(self.tally.left_mib, sum(sizes) / 2**20)

    def _compare(self, told: str) -> None:
        from kill_judging import differences  # noqa: PLC0415

        lines = differences(self._content(), self.undisturbed.content)
        self.tally.not_equal += bool(lines)
        self._blame(told, lines)

    def _check_orphans(self, group: int, told: str) -> None:
        from kill_moments import outlived  # noqa: PLC0415

        if outlived(group):
            self.tally.stuck += 1
            self._blame(told, ["processes outlive the one that was killed alone"])

    def _blame(self, told: str, lines: list[str]) -> None:
        self.tally.faults += [f"{told} {line}" for line in lines[:10]]

    def _content(self) -> dict[str, str]:
        from kill_judging import content  # noqa: PLC0415

        return content(self.where.folder)

    def _problems(self) -> list[str]:
        from kill_judging import problems  # noqa: PLC0415

        return problems(self.where.folder, self.scenario.masks)

    def _leftovers(self) -> set[str]:
        from kill_judging import leftovers  # noqa: PLC0415

        return leftovers(self.where.folder)


def _kinds(trail: tuple[str, ...]) -> dict[str, list[int]]:
    """Kind of call -> numbers, from 1; kinds differ by their word and by the file's name without its numbers."""
    kinds: dict[str, list[int]] = {}
    name = ""
    for number, entry in enumerate(trail, start=1):
        word, _, path = entry.partition(" ")
        # A sync has no path: it is that of what was opened before.
        name = re.sub(r"[0-9a-f]{8,}|\d+", "", Path(path).name) if path else name
        kinds.setdefault(f"{word} {name}", []).append(number)
    return kinds


@contextmanager
def places() -> Iterator[list[Place]]:
    """Work and temporary folder on this disk and in shared memory, both ways; on this disk alone without the latter."""
    with tempfile.TemporaryDirectory(prefix="limbeck-kills-") as disk:
        roots = [Path(disk)]
        other = None
        if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK):
            other = tempfile.mkdtemp(prefix="limbeck-kills-", dir=SHARED_MEMORY)
            if Path(other).stat().st_dev != roots[0].stat().st_dev:
                roots.append(Path(other))
        try:
            for root in roots:
                (root / "temporary").mkdir()
            yield [Place(root / "work", away / "temporary") for root, away in zip(roots, reversed(roots), strict=True)]
        finally:
            if other:
                shutil.rmtree(other, ignore_errors=True)


def torture(words: argparse.Namespace) -> dict[str, Tally]:
    """All series; scenario -> tally."""
    from kill_moments import preload  # noqa: PLC0415
    from kill_scenarios import SCENARIOS, make_bench  # noqa: PLC0415

    preload()
    names = words.only or list(SCENARIOS)
    tallies: dict[str, Tally] = {}
    with places() as found:
        if len(found) == 1:
            print("no second file system: all series work on that of the temporary folder", file=sys.stderr)
        needs = [SCENARIOS[name].needs for name in names]
        bench = make_bench(found[0].work.parent / "bench", found[0].temporary, needs, words.phantoms)
        for turn, name in enumerate(names):
            quota = words.kills // len(names) + (turn < words.kills % len(names))
            tallies[name] = _scenario(SCENARIOS[name], bench, found, quota, words)
            if sys.stderr.isatty() or words.verbose:
                print("\n".join([line(name, tallies[name]), *tallies[name].faults]), file=sys.stderr, flush=True)
    return tallies


def _scenario(scenario: Any, bench: Any, found: list[Place], quota: int, words: argparse.Namespace) -> Tally:
    whole, started = Tally(), time.monotonic()
    # A test that kills a command twice does so in one place.
    used = found if quota > MOST_KILLS_IN_A_SERIES else found[-1:]
    for turn, place in enumerate(used):
        if not quota:
            break
        try:
            suite = Torture(scenario, bench, place, words)
        except (RuntimeError, OSError) as error:
            whole.faults.append(f"cannot begin: {error}")
            continue
        share = quota // len(used) + (turn < quota % len(used))
        for number in range(1000 * turn + words.first, 10**6):
            left = share - suite.tally.kills
            if left <= 0:
                break
            suite.series(number, left, fresh=number % 1000 == 0 and words.fresh)
        _add(whole, suite.tally)
    whole.seconds = round(time.monotonic() - started, 1)
    return whole


def _add(whole: Tally, part: Tally) -> None:
    for name, value in vars(part).items():
        if name == "left_mib":
            whole.left_mib = max(whole.left_mib, value)
        elif name == "words":
            whole.words = {word: whole.words.get(word, 0) + value.get(word, 0) for word in {**whole.words, **value}}
        else:
            setattr(whole, name, getattr(whole, name) + value)


HEAD = "scenario                     kills  in a write  alone  fresh  not whole  series  equal  stuck  left MiB      s"


def line(name: str, tally: Tally) -> str:
    """A row of the table."""
    equal = tally.series - tally.not_equal - tally.stuck
    return (
        f"{name:<27} {tally.kills:>6} {tally.in_a_write:>11} {tally.alone:>6} {tally.fresh:>6} {tally.not_whole:>10} "
        f"{tally.series:>7} {equal:>6} {tally.stuck:>6} {tally.left_mib:>9.2f} {tally.seconds:>6.0f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=280, help="how many in all")
    parser.add_argument("--only", nargs="+", help="scenarios")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--before", default="", metavar="CALL", help="right before such calls alone: fsync, rename")
    parser.add_argument("--first", type=int, default=0, help="number of the first series, to do one again")
    parser.add_argument("--careless", choices=CARELESS, default="none", help="break the writer: must be caught")
    parser.add_argument("--no-fresh", dest="fresh", action="store_false", help="forks alone, to be quick")
    parser.add_argument("--phantoms", type=Path, metavar="FOLDER", help="take these and draw none, to be quick")
    parser.add_argument("--verbose", action="store_true", help="show each scenario when it is done")
    parser.add_argument("--out", type=Path, help="JSON to write")
    words = parser.parse_args()
    tallies = torture(words)
    whole = Tally()
    for tally in tallies.values():
        _add(whole, tally)
    print("\n".join([HEAD, *(line(name, tally) for name, tally in tallies.items()), line("all", whole)]))
    if words.out:
        from kill_judging import MAY_DIFFER  # noqa: PLC0415

        figures = {
            "seed": words.seed,
            "scenarios": {name: asdict(tally) for name, tally in tallies.items()},
            "all": asdict(whole),
            "may_differ": {name: why for name, (why, _) in MAY_DIFFER.items()},
        }
        words.out.parent.mkdir(parents=True, exist_ok=True)
        words.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, tally in tallies.items():
        for fault in tally.faults[:20]:
            print(f"  {name}: {fault}")
    return int(bool(whole.faults or not whole.kills))


if __name__ == "__main__":
    raise SystemExit(main())
