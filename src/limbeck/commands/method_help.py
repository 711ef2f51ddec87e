"""What `limbeck train METHOD --help` prints, at once and without torch."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator

from limbeck.commands.declared import NETWORK, Setting, classes, declared, summary, written
from limbeck.methods import METHODS

# Not settings, since they do not change what a run with the same data computes.
PLACES = {
    "data": ("COHORT", "cohort folder, made by limbeck import"),
    "subset": ("S", "sequences that the network may see: t1ce, flair+t1ce, all ..."),
    "subsets": ("S,S...", "instead of --subset, a student for each of several; all stands for the 15"),
    "group": ("N", "students of --subsets that train at a time; fewer take less memory [15]"),
    "teacher": ("RUN", "run folder of the teacher, for methods that learn from one"),
    "split": ("FILE", "JSON file of folds instead of the cohort's own; --fold picks one"),
    "out": ("RUNS", "folder that holds all runs"),
}
_LOOP = (
    ("request", "RunSettings"),
    ("training.trainer", "TrainingSettings"),
    ("training.optimise", "OptimiserSettings"),
    ("data.dataset", "SamplingSettings"),
)
_PLACEHOLDERS = {"int": "N", "float": "X", "bool": "true|false"}
_COLUMN = 34


def text(method: str) -> str:
    """The help of a method: its paper, its places, and every setting with its meaning and its default."""
    entry = METHODS[method]
    usage = "usage: limbeck train "
    lines = [
        f"{usage}{method} --data COHORT [--subset S] [--teacher RUN] [--config YAML]",
        f"{'':<{len(usage) + len(method)}} [--NAME VALUE ...] --out RUNS [--resume]",
        "",
        f"{method}: {entry.summary}.",
        f"Paper: {entry.paper}.",
        f"Teacher: {entry.teacher}. Subsets: {entry.subsets}. Status: {entry.status}.",
        "",
        "What and where:",
    ]
    for name, (value, meaning) in PLACES.items():
        lines += _entry(f"--{name} {value}", meaning)
    lines += _entry(
        "--config YAML",
        "file of settings, names with underscores, or a run's experiment.yaml, or the name of a recipe that comes with "
        f"Limbeck: common, {method}; options override it",
    )
    lines += _entry("--resume", "go on with the run of these settings where it stopped; refuse to begin one")
    for heading, settings in _sections(method):
        lines += ["", f"{heading.rstrip('.')}:"]
        for setting in settings:
            option = f"--{setting.name.replace('_', '-')} {_placeholder(setting)}"
            lines += _entry(option, f"{setting.meaning} [{written(setting.default)}]")
    return "\n".join(lines)


def _sections(method: str) -> Iterator[tuple[str, list[Setting]]]:
    module, own = f"methods.{method}", f"{METHODS[method].class_name}Settings"
    added = own in classes(module)
    yield (
        summary(*((module, own) if added else NETWORK)),
        [*declared(*NETWORK), *(declared(module, own) if added else ())],
    )
    for where in _LOOP:
        yield summary(*where), declared(*where)


def _placeholder(setting: Setting) -> str:
    if setting.choices:
        return "|".join(map(str, setting.choices))
    return "N,N,N" if setting.kind.startswith("tuple") else _PLACEHOLDERS.get(setting.kind, "NAME")


def _entry(option: str, meaning: str) -> list[str]:
    """An option and its meaning in two columns."""
    width = min(shutil.get_terminal_size().columns, 110)
    lines = textwrap.wrap(meaning, max(width - _COLUMN, 30), break_long_words=False, break_on_hyphens=False)
    fits = len(option) <= _COLUMN - 3
    first = f"  {option:<{_COLUMN - 3}} {lines[0]}" if fits else f"  {option}"
    return [first, *(f"{'':<{_COLUMN}}{line}" for line in (lines[1:] if fits else lines))]
