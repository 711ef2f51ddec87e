"""The command line: find the command, run it, and turn errors into one line and an exit code.

Commands import what they need when they run, so that help, methods and info answer at once.
"""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import NoReturn

from limbeck.cache import lent_to_matplotlib
from limbeck.durable import lacks_space, may_not_write
from limbeck.errors import LimbeckError, ResourceError, UsageError, nearest
from limbeck.launch import launch, launched
from limbeck.training.interrupts import Interrupted, heeded
from limbeck.version import __version__

# Command -> its module in `limbeck.commands`, and its line in the help.
COMMANDS = {
    "demo": ("demo", "phantoms -> teacher -> students -> table, figures, report"),
    "phantom": ("phantom", "make synthetic patients"),
    "import": ("import_cohort", "read a data set into a cohort, in place"),
    "inspect": ("inspect_data", "every problem of a data set at once"),
    "train": ("train", "train a method for a subset of the sequences"),
    "evaluate": ("evaluate", "score runs on the cases held out"),
    "benchmark": ("benchmark", "every method on every subset, fold and seed of a matrix"),
    "report": ("report", "one page from results"),
    "pack": ("pack", "several runs in one model that picks by what is given"),
    "predict": ("predict", "segment a patient or a folder of patients"),
    "export": ("export", "a model as ONNX, for programs without torch"),
    "methods": ("methods", "the methods, their papers, teachers and subsets"),
    "info": ("info", "versions, machine and folders"),
    "doctor": ("doctor", "check that this installation works"),
}

INTERRUPTED = 128


class Parser(argparse.ArgumentParser):
    """A parser that states an error in one line."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2 and one line.

        Raises:
            UsageError: always.
        """
        unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        if unknown:
            near = nearest(unknown[1], self._option_string_actions)
            raise UsageError(f"unknown option {unknown[1]!r}{near or f' (see {self.prog} --help)'}")
        raise UsageError(f"{message} (see {self.prog} --help)")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with defaults, where there is something to say."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default is None or action.default is False or action.default == []
        return action.help if silent else super()._get_help_string(action)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name may hold bytes that are no text; standard error spells them out by itself.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with heeded(), _telling(), lent_to_matplotlib():
            return _run(words)
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Interrupted) else signal.SIGINT
        note = stop.note if isinstance(stop, Interrupted) else ""
        word = "interrupted" if number == signal.SIGINT else "terminated"
        kept = note or "; what is finished is kept, and the same command goes on"
        if launched().first:
            print(f"limbeck: {word}{kept}", file=sys.stderr)
        return INTERRUPTED + number
    except BrokenPipeError:
        return INTERRUPTED + signal.SIGPIPE
    except Exception as error:
        if debug:
            traceback.print_exc()
        foreseen = _foreseen(error)
        if foreseen is None:
            print(f"{_name()}: {type(error).__name__}: {_first_line(error)} (--debug shows where)", file=sys.stderr)
            return 1
        print(f"{_name()}: {foreseen}", file=sys.stderr)
        return foreseen.exit_code


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return 0
    if words[0] == "--version":
        print(f"limbeck {__version__}")
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r}: expected one of {', '.join(COMMANDS)}{nearest(name, COMMANDS)}")
    if name != "train" and (count := launch().processes) > 1:
        raise UsageError(f"{name} was started {count} times by torchrun or srun: expected once (train alone is shared)")
    module, summary = COMMANDS[name]
    command: ModuleType = importlib.import_module(f"limbeck.commands.{module}")
    if name == "train":
        # Its settings depend on the method, so it parses its own words.
        return _trained(command, rest)
    parser = Parser(prog=f"limbeck {name}", description=summary, allow_abbrev=False)
    parser.formatter_class = _Formatter
    command.configure(parser)
    try:
        arguments = parser.parse_args(rest)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return int(command.run(arguments))


def _trained(command: ModuleType, words: list[str]) -> int:
    """Train; several processes that come to their end together, also by a signal, part before they leave."""
    try:
        code = int(command.run(words))
    except Interrupted as stop:
        # Where nothing was kept, the others were not asked.
        if stop.note:
            _part()
        raise
    _part()
    return code


def _part() -> None:
    if launch().processes > 1:
        from limbeck import ranks  # noqa: PLC0415 - torch, which help need not wait for

        ranks.end()


def _name() -> str:
    """Who speaks; of several processes, which."""
    said = launched()
    return "limbeck" if said.first else f"limbeck [process {said.rank}]"


def _help() -> str:
    lines = [
        "usage: limbeck COMMAND [OPTIONS] [--debug]",
        "",
        "Distil what four MRI sequences know into networks that need only the ones a patient has.",
        "",
        *(f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items()),
        "",
        "limbeck COMMAND --help shows a command's options. Not for clinical use.",
    ]
    return "\n".join(lines)


def _foreseen(error: Exception) -> LimbeckError | None:
    """The error as one of ours: memory and disk run out in many places."""
    if isinstance(error, LimbeckError):
        return error
    text = _first_line(error)
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return ResourceError(f"out of memory: {text}; use a smaller batch, patch or width")
    if "DataLoader worker" in text:
        return ResourceError(f"a process that reads crops has ended ({text}): give fewer --workers")
    return _of_a_place(error) if isinstance(error, OSError) else None


def _of_a_place(error: OSError) -> LimbeckError | None:
    place = error.filename2 or error.filename
    text = f"{place}: {error.strerror}" if place else _first_line(error)
    if lacks_space(error):
        return ResourceError(f"no space left: {text}: free some and run the command again")
    if may_not_write(error):
        return ResourceError(f"no permission: {text}: expected a place of yours")
    if "No usable temporary directory" in text:
        return ResourceError(f"no space left for temporary files: {text}: free some, or set TMPDIR to another folder")
    if isinstance(error, (NotADirectoryError, IsADirectoryError, FileExistsError)):
        return UsageError(f"{error.filename2 or error.filename}: {error.strerror}: expected another place to write to")
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@contextmanager
def _telling() -> Iterator[None]:
    """What the package reports on the way goes to standard error, a line each."""
    handler: logging.Handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("limbeck: %(message)s"))
    log = logging.getLogger("limbeck")
    # What one of several processes has to tell, all have; a handler keeps Python from telling in its own way.
    handler = handler if launched().first else logging.NullHandler()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
