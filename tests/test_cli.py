"""The command line itself: help without torch, JSON that parses, and what a signal leaves behind."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from begun import Begun

from limbeck.cli import COMMANDS, main
from limbeck.commands import doctor, info, method_help
from limbeck.commands.settings import Settings
from limbeck.methods import METHODS
from limbeck.methods.saved import load_card
from limbeck.version import __version__

# Runs a command and gives the names of what it imported, on a last line of its own.
PROBE = "import sys; from limbeck.cli import main; code = main(sys.argv[1:]); print('\\n', *sys.modules); exit(code)"
HEAVY = ("torch", "lightning", "monai", "scipy", "matplotlib", "nibabel", "jsonargparse")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--version"],
        ["--help"],
        ["methods"],
        ["methods", "--json"],
        ["info"],
        ["info", "--json"],
        ["train", "--help"],
        ["train", "limbeck", "--help"],
    ]
    + [[command, "--help"] for command in COMMANDS if command != "train"],
    ids=lambda words: " ".join(words) or "nothing",
)
def test_answers_at_once_without_torch(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    shown, _, imported = done.stdout.rstrip("\n").rpartition("\n")
    assert shown.strip()
    assert "limbeck.cli" in imported.split()
    assert not {name.split(".")[0] for name in imported.split()} & set(HEAVY)


def test_the_probe_sees_torch() -> None:
    """The probe above would notice."""
    probe = PROBE.replace("import sys;", "import sys, jsonargparse;")
    done = subprocess.run([sys.executable, "-c", probe, "--version"], capture_output=True, text=True, check=True)
    assert "jsonargparse" in done.stdout.split()


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {command} " in shown for command in COMMANDS)
    assert main([]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"train"}))
def test_help_says_what_each_option_does(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: limbeck {command}")
    assert "None" not in shown and "False" not in shown and "[]" not in shown
    assert not re.search(r"\(default: [^)]*\)\s+\(default: ", shown), "a default is told once"
    parser = argparse.ArgumentParser()
    importlib.import_module(f"limbeck.commands.{COMMANDS[command][0]}").configure(parser)
    for action in parser._actions:
        assert action.help and action.help.split()[0] in shown
    if any(action.default == 0 and action.default is not False for action in parser._actions):
        assert re.search(r"\(default:\s+0", shown), "no default is a default of 0"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"limbeck {__version__}\n"


@pytest.mark.parametrize("method", METHODS)
def test_help_of_a_method_shows_its_own_settings(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", method, "--help"]) == 0
    shown = capsys.readouterr().out
    options = [line.split()[0] for line in shown.splitlines() if line.startswith("  --")]
    assert len(options) == len(set(options)) > 20
    # In help with hyphens throughout; both spellings are understood.
    assert "--learning-rate" in options and not any("_" in option for option in options)
    assert ("--region-attention-weight" in options) == (method == "gkd")
    for line in (line for line in shown.splitlines() if line.startswith("  --") and len(line) > 40):
        assert line[33] == " ", "meanings stand in a column"


@pytest.mark.parametrize("method", METHODS)
def test_help_of_a_method_shows_what_is_parsed(method: str) -> None:
    """Help is read from the source, and options come from the classes themselves."""
    options = re.findall(r"^  --([a-z0-9-]+)", method_help.text(method), re.MULTILINE)
    known = [*method_help.PLACES, "config", "resume", *Settings(method).types]
    assert [option.replace("-", "_") for option in options] == known


def test_both_spellings_and_a_file_set_the_same(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("save_every: 7\npatch: [8, 16, 24]\nsteps: 5\n")
    settings = Settings("supervised")
    _, by_hyphen = settings.parse(["--save-every", "7", "--patch", "8,16,24", "--steps=5"])
    _, by_underscore = settings.parse(["--save_every=7", "--patch=[8, 16, 24]", "--steps", "5"])
    _, by_file = settings.parse(["--config", str(tmp_path / "settings.yaml")])
    assert by_hyphen == by_underscore == by_file
    assert by_file["sampling"].patch == (8, 16, 24)
    file, option = ["--config", str(tmp_path / "settings.yaml")], ["--steps", "6"]
    for words in ([*file, *option], [*option, *file], [*option, "=".join(file)]):
        _, overridden = settings.parse(words)
        assert (overridden["training"].steps, overridden["training"].save_every) == (6, 7), "an option overrides a file"


def test_methods_info_and_doctor_speak_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--json"]) == 0
    methods = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in methods] == list(METHODS)
    assert all(entry["summary"] and entry["paper"] and entry["subsets"] for entry in methods)
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["limbeck"] == __version__ and info["torch"].startswith("2.")
    assert main(["doctor", "--json"]) == 0
    assert all(check["ok"] and check["found"] for check in json.loads(capsys.readouterr().out))


def test_doctor_trains_where_it_says_that_training_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """`meta` stands for a GPU: a device that the step has to be moved to, and that gives no number."""
    monkeypatch.setattr("limbeck.methods.precision.pick_device", lambda name="auto": torch.device("meta"))
    with pytest.raises(RuntimeError, match="meta"):
        doctor.CHECKS["training"]()
    monkeypatch.undo()
    assert "on cpu" in doctor.CHECKS["training"]()


def test_doctor_fails_when_a_check_does(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def ill() -> str:
        raise RuntimeError("no such luck")

    monkeypatch.setitem(doctor.CHECKS, "disk", ill)
    assert main(["doctor"]) == 1
    assert "FAIL  disk" in capsys.readouterr().out


def test_an_unforeseen_failure_is_one_line_and_debug_shows_where(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: object) -> int:
        raise KeyError("first line\nsecond line")

    monkeypatch.setattr(info, "run", fail)
    assert main(["info"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "KeyError" in said and "--debug" in said
    assert main(["info", "--debug"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback") and "in fail" in shown and shown.endswith(said)


def test_debug_leaves_the_line_and_the_exit_code_as_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["report", str(tmp_path / "none.csv"), "-o", str(tmp_path / "a.html")]
    code = main(words)
    said = capsys.readouterr().err
    assert code == 3 and said.count("\n") == 1
    assert main([*words, "--debug"]) == code
    assert capsys.readouterr().err.endswith(f"\n{said}")


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (MemoryError(), 5, "out of memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
            5,
            "out of memory",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), 5, "smaller"),
        (OSError(28, "No space left on device"), 5, "no space"),
        (OSError(27, "File too large", "place"), 5, "no space left: place: File too large: free some"),
        (PermissionError(13, "Permission denied", "place"), 5, "no permission: place: Permission denied: expected"),
        (OSError(30, "Read-only file system", "here", None, "there"), 5, "no permission: there: Read-only file"),
        (FileNotFoundError(2, "No usable temporary directory found in ['tmp']"), 5, "set TMPDIR"),
        (NotADirectoryError(20, "Not a directory", "file/run"), 2, "file/run"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 141, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_runs_out_has_its_exit_code(error, code, says, capsys, monkeypatch) -> None:
    def fail(arguments: object) -> int:
        raise error

    monkeypatch.setattr(info, "run", fail)
    assert main(["info"]) == code
    said = capsys.readouterr().err
    assert says in said and said.count("\n") <= 1


@pytest.fixture(scope="module")
def cohort(five_patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cohort = tmp_path_factory.mktemp("signals") / "cohort"
    assert main(["import", str(five_patients), "--spacing", "6", "--workers", "1", "--out", str(cohort)]) == 0
    return cohort


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_signal_leaves_a_checkpoint_and_nothing_half_written(number, word, cohort, tmp_path) -> None:
    words = ["train", "supervised", "--data", str(cohort), "--subset", "flair", "--out", str(tmp_path), "--folds", "3"]
    words += ["--width", "8", "--patch", "16,16,16", "--precision", "float32", "--steps", "100000", "--save-every", "1"]
    process = Begun(*words)
    while process.poll() is None and not list(tmp_path.glob("*/last/previous.json")):
        time.sleep(0.01)
    process.send_signal(number)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert out == ""
    assert said.startswith(f"limbeck: {word}") and said.count("\n") == 1
    (run,) = tmp_path.iterdir()
    assert load_card(run / "last").step >= 1
    assert not [path for path in run.rglob("*") if ".tmp." in path.name]
    assert not (run / "DONE").exists()
