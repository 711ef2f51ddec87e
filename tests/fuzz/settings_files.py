"""Spoilt files beside a model: YAML of settings, of runs and of matrices, and what a run keeps beside its checkpoints.

Each goes through the code that reads it, in a child; that may refuse it in one line, or take it.
"""

from __future__ import annotations

import importlib
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model_folders_judging import Ended, check_refusal, check_unharmed, in_child, listed
from model_folders_parts import CANARY, VALUES, leaves, place_in, rewrite, text_of, with_bytes_changed
from model_folders_sound import sound

from limbeck.benchmark.matrix import read as read_matrix
from limbeck.benchmark.state import verified
from limbeck.cli import main
from limbeck.commands.settings import Settings
from limbeck.errors import LimbeckError, ModelError
from limbeck.evaluation.eligible import fold_of, learnt_from
from limbeck.evaluation.protocol import find
from limbeck.evaluation.threshold import stored_step
from limbeck.methods.saved import load_card
from limbeck.training.record import begin_session, place_of, read_experiment, use_of

SETTINGS = "width: 16\nsteps: 100\npatch: [32, 32, 32]\ndropout: 0.1\nnetwork: unet\naugment: true\n"
MATRIX = "methods: [supervised, gkd]\nsubsets: [flair, t1ce]\nphantoms: {cases: 8}\nsettings: {steps: 10, width: 8}\n"
RECORD = "method: supervised\nsubset: flair\ndata: aa\nsplit: bb\naugmentation: cc\nteachers: {}\nfold: 0\nwidth: 8\n"
# The rest is in the order of nodes: lists that hold one another nine times nine times ...
_LAUGHS = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 12))
YAML: tuple[str, ...] = (
    '!!python/object/apply:os.mkdir ["{canary}"]',
    '!!python/object/new:os.mkdir ["{canary}"]',
    "!!python/name:os.system",
    "!!python/module:os",
    '!!python/object/apply:subprocess.check_output [["touch", "{canary}"]]',
    '!!map {{? !!python/object/apply:os.mkdir ["{canary}"] : 1}}',
    "!!binary eA==",
    "!!set {{a}}",
    "!!omap [a: 1]",
    "2001-01-01",
    "2001-99-99",
    "&x [*x]",
    "*nobody",
    "{{? [1] : 2}}",
    "{{<<: [1]}}",
    "[" * 40 + "]" * 40,
    "[" * 50_000,
    "9" * 5000,
    "1" + ":59" * 3000,
    ".nan",
    "-.inf",
    "0x" + "f" * 300,
    "null",
    "''",
    "'a\\nb'",
    '"\\u202e\\x1b[31m"',
    "\x00",
    "'" + "x" * 100_000 + "'",
    "'" + "x" * 2**18 + "'",
    "{{a: 1, a: 2}}",
    "1\n---\na: 1",
    "/dev/zero",
    "../..",
)
FILES = ("fold.json", "environment.json", "places.json", "postprocess.json", "DONE")


def kind_of(number: int) -> str:
    """Who reads the file of a number."""
    return list(READERS)[number % len(READERS)].__name__


def warm(root: Path) -> None:
    """Make the sound run, and import in this process what every child will need."""
    sound(root)
    Settings("supervised").parse([])
    importlib.import_module("limbeck.commands.train")


def judge(number: int, root: Path, work: Path) -> Ended:
    """Spoil what this number says, and read it.

    Raises:
        Fault: it was neither taken nor refused clearly, or something was executed.
    """
    rng = random.Random(number)
    reader, codes = list(READERS.items())[number % len(READERS)]
    task = reader(root, work, rng)
    before = listed(work)
    ended = in_child(lambda: _ended(task), work / "said.txt")
    # A session is noted in it when a run goes on.
    check_unharmed(work, before, ("model/environment.json",))
    if ended.code:
        check_refusal(ended, codes)
    return ended


def _ended(task: Callable[[], Any]) -> int:
    """As the command line ends: the code, and the line on standard error."""
    try:
        return int(task() or 0)
    except LimbeckError as error:
        print(f"limbeck: {error}", file=sys.stderr)
        return error.exit_code


def _spoilt_yaml(text: str, work: Path, rng: random.Random) -> str:
    """A text of YAML with one value, some bytes, or its end spoilt."""
    odd = rng.choice(YAML).format(canary=work / CANARY)
    lines = text.splitlines()
    where = rng.randrange(len(lines))
    name = lines[where].partition(":")[0]
    how = rng.randrange(6)
    if how < 3:
        lines[where] = f"{name}: {odd}"
    elif how == 3:
        lines.append(f"{name}: 1" if rng.random() < 0.5 else f"{odd}: 1")
    elif how == 4:
        return f"l0: &l0 [x, x, x]\n{_LAUGHS}{text}"
    else:
        return with_bytes_changed(text.encode(), rng).decode("latin-1")
    return "\n".join(lines) + "\n"


def settings(root: Path, work: Path, rng: random.Random) -> Callable[[], Any]:
    """`limbeck train --config`."""
    path = work / "settings.yaml"
    path.write_text(_spoilt_yaml(SETTINGS, work, rng), encoding="utf-8")
    words = ["train", "supervised", "--config", str(path), "--data", str(work / "none"), "--subset", "flair"]
    return lambda: main([*words, "--out", str(work / "runs")])


def matrix(root: Path, work: Path, rng: random.Random) -> Callable[[], Any]:
    """The YAML of a benchmark."""
    path = work / "matrix.yaml"
    path.write_text(_spoilt_yaml(MATRIX, work, rng), encoding="utf-8")

    def read() -> None:
        found = read_matrix(path)
        for method in found.methods:
            found.words(method)

    return read


def record(root: Path, work: Path, rng: random.Random) -> Callable[[], Any]:
    """A run's record of its experiment, which `limbeck train --resume` goes by."""
    run = _run(root, work)
    rewrite(run / "experiment.yaml", _spoilt_yaml(RECORD, work, rng))
    return lambda: main(["train", "--resume", str(run)])


def of_a_benchmark(root: Path, work: Path, rng: random.Random) -> Callable[[], Any]:
    """A run that a benchmark verifies."""
    run = _run(root, work)
    rewrite(run / "experiment.yaml", _spoilt_yaml(RECORD, work, rng))
    if rng.random() < 0.5:
        rewrite(run / "DONE", _spoilt_json({"best_step": 4, "validation_dice": 0.5}, rng))

    def verify() -> None:
        verified(run)

    return verify


def beside(root: Path, work: Path, rng: random.Random) -> Callable[[], Any]:
    """What a run keeps in JSON beside its checkpoints."""
    run = _run(root, work)
    card = load_card(run / "best")
    content: dict[str, Any] = {
        "fold.json": {"train": {"a": {"ET": 1.0}}, "validation": {"b": {}}, "test": {"c": {}}},
        "environment.json": {"sessions": [{"training_cases": 7, "use": "all", "threads": 1}]},
        "places.json": {"data": ["/nowhere", "../nowhere"]},
        "postprocess.json": {
            find("strict").id: {
                **{"step": "et>=1mm3", "threshold_mm3": 1.0, "data": "d" * 64, "validation_cases": ["b"]},
                **{"subsets": ["flair"], "checkpoint": card.files},
            }
        },
        "DONE": {"best_step": 4, "validation_dice": 0.5},
    }
    for name, values in content.items():
        rewrite(run / name, text_of(values))
    name = rng.choice(FILES)
    rewrite(run / name, _spoilt_json(content[name], rng))

    def read() -> None:
        place_of(run, "data")
        use_of(run)
        begin_session(run, {"threads": 1})
        read_experiment(run)
        for reading in (
            lambda: learnt_from(run, []),
            lambda: fold_of(run, card.origin),
            lambda: stored_step(run, card, find("strict")),
        ):
            try:
                reading()
            except ModelError:
                continue

    rewrite(run / "experiment.yaml", RECORD)
    return read


def _run(root: Path, work: Path) -> Path:
    shutil.copytree(sound(root)["run"], work / "model")
    return work / "model"


def _spoilt_json(values: Any, rng: random.Random) -> str | bytes:
    how = rng.randrange(4)
    if how == 0:
        return with_bytes_changed(text_of(values).encode(), rng)
    if how == 1:
        return rng.choice(("", "null", "[]", "[[[[]]]]", "5", '"x"', "[" * 100_000, '{"a":' * 5000, "{}"))
    copied = json.loads(json.dumps(values))
    place_in(copied, rng.choice(leaves(copied)), rng.choice(VALUES))
    return text_of(copied)


# What reads, and the exit codes that a refusal may have; 3 is that of data that is not there.
READERS: dict[Callable[[Path, Path, random.Random], Callable[[], Any]], tuple[int, ...]] = {
    settings: (2, 3),
    matrix: (2,),
    record: (2, 4),
    of_a_benchmark: (4,),
    beside: (4,),
}
