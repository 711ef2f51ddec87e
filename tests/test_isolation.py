"""The main commands need no network, and write nowhere but where they were told to.

They run where the kernel allows nothing else: in a network without interfaces, where all file systems are read-only but
for the output and the temporary folder. Every process also notes what it tries (`isolation/sitecustomize.py`), which
is all there is where a system lends no such enclosure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from limbeck.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--width", "8", "--patch", "16,16,16", "--folds", "3", "--precision", "float32", "--device", "cpu"]
MATRIX = """
methods: [supervised]
subsets: [flair]
metrics: [dice]
settings: {folds: 3, steps: 1, batch: 1, width: 8, patch: [16, 16, 16], precision: float32, device: cpu}
"""
READ_ONLY = "set -e; mount --make-rprivate /; mount -o bind,remount,ro /"
# Folders that are bound upon themselves keep what they allowed.
ENCLOSE = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount --bind "$2" "$2"
mount --bind "$3" "$3"
mount -o bind,remount,ro "$3"
mount -o bind,remount,ro /
cd "$3"
shift 3
exec "$@"
"""


@cache
def enclosure() -> tuple[str, ...]:
    """The words before a command that give it namespaces of its own; none where that is not allowed."""
    for rights in ((), ("--map-root-user",)):
        words = ("unshare", *rights, "--mount", "--net")
        tried = [*words, "sh", "-c", READ_ONLY]
        if shutil.which("unshare") and subprocess.run(tried, capture_output=True, check=False).returncode == 0:
            return words
    return ()


def main_commands(out: Path, patients: Path) -> list[list[str]]:
    """Each main command once, on patients and on what those before it have made."""
    (out / "matrix.yaml").write_text(MATRIX)
    phantoms, cohort, runs, gkd = out / "phantoms", out / "cohort", out / "runs", out / "runs" / "gkd-*"
    training = ["--data", cohort, "--out", runs, "--steps", "1", *SMALL]
    commands = [
        ["doctor"],
        ["info"],
        ["methods"],
        ["phantom", "--cases", "1", "--spacing", "6", "--workers", "1", "--out", phantoms],
        ["import", patients, "--spacing", "6", "--workers", "2", "--out", cohort],
        ["inspect", phantoms],
        ["train", "supervised", "--subset", "all", "--workers", "1", *training],
        ["train", "gkd", "--subset", "flair", "--teacher", runs / "supervised-*", *training],
        ["evaluate", gkd, "--data", cohort, "--out", out / "results.csv"],
        ["report", out / "results.csv", "--data", cohort, "--runs", runs, "--out", out / "report.html"],
        ["pack", gkd, "--out", out / "model"],
        ["export", out / "model", "-o", out / "onnx"],
        ["predict", out / "model", "--folder", phantoms, "-o", out / "masks"],
        ["benchmark", out / "matrix.yaml", "--data", cohort, "--out", out / "benchmark"],
        ["demo", "--out", out / "demo", "--cases", "3", "--steps", "1", "--spacing", "6", "--patch", "32"],
    ]
    return [[str(word) for word in words] for words in commands]


@dataclass
class Watched:
    """A process that was watched, and what came of it.

    Attributes:
        root: its folders: `out` and `temporary`, and in `rest` the package, its home, and where it stands.
        enclosed: whether the kernel kept it from everything else.
    """

    root: Path
    enclosed: bool
    log: list[list[str]] = field(default_factory=list)
    errors: str = ""
    around: dict[str, Any] = field(default_factory=dict)

    def run(self, commands: list[list[str]], **environment: str) -> None:
        out, temporary, rest = (self.root / name for name in ("out", "temporary", "rest"))
        log, ended = out / "watched.jsonl", out / "ended.json"
        start = [sys.executable, str(ROOT / "tests" / "isolation" / "commands.py"), str(ended)]
        enclosed = [*enclosure(), "sh", "-c", ENCLOSE, "sh", *map(str, (out, temporary, rest))]
        done = subprocess.run(
            [*enclosed, *start] if self.enclosed else start,
            input=json.dumps(commands),
            capture_output=True,
            text=True,
            cwd=rest,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(rest / "home"),
                "TMPDIR": str(temporary),
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(map(str, (rest / "site", ROOT / "tests" / "isolation"))),
                "LIMBECK_WATCHED": str(log),
                **environment,
            },
            check=False,
        )
        self.errors = done.stderr
        assert done.returncode == 0, done.stderr
        self.around = json.loads(ended.read_text())
        self.log = [json.loads(line) for line in log.read_text().splitlines()]

    def seen(self, kind: str) -> set[str]:
        return {what for noted, _, what in self.log if noted == kind}

    def written_beyond(self, *allowed: Path) -> list[str]:
        """What it wrote, or tried to, elsewhere than in these folders; bytecode is Python's own matter."""
        return sorted(
            path
            for path in self.seen("write")
            if "__pycache__" not in path and path != os.devnull
            if not any(Path(path).is_relative_to(place) for place in allowed)
        )


def watched(root: Path, enclosed: bool) -> Watched:
    for name in ("out", "temporary", "rest/home"):
        (root / name).mkdir(parents=True)
    package = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "limbeck", root / "rest" / "site" / "limbeck", ignore=package)
    return Watched(root, enclosed)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, five_patients: Path) -> Watched:
    """All main commands, where nothing else can be written and nobody be reached."""
    process = watched(tmp_path_factory.mktemp("enclosed"), bool(enclosure()))
    process.run(main_commands(process.root / "out", five_patients))
    return process


def test_every_main_command_succeeds_and_is_quiet(everything) -> None:
    ended = everything.around["ended"]
    assert [(end["words"][0], end["code"], end["err"]) for end in ended if end["code"]] == []
    assert {end["words"][0] for end in ended} == set(COMMANDS)
    noise = [line for end in ended for line in end["err"].splitlines() if not line.startswith("limbeck: ")]
    assert noise == [] and everything.errors == ""


def test_package_home_and_surroundings_were_out_of_reach(everything) -> None:
    if not everything.enclosed:
        pytest.skip("this system lends no namespaces: what was tried is still looked at")
    assert everything.around["writable"] == []
    assert everything.around["interfaces"] == ["lo"]
    assert Path(everything.around["package"]).is_relative_to(everything.root / "rest" / "site")


def test_nothing_is_written_but_the_output_and_temporary_files(everything) -> None:
    out, temporary = everything.root / "out", everything.root / "temporary"
    assert str(out / "demo" / "report.html") in everything.seen("write")
    assert everything.written_beyond(out, temporary) == []
    # Of torch: kept for a compiler that Limbeck does not call.
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_")] == []


def test_nobody_is_called_and_no_name_looked_up(everything) -> None:
    # So urllib3, which Lightning imports, tries whether there is IPv6: a port of its own, to which nobody calls.
    assert everything.seen("network") <= {"('::1', 0)"}


def test_a_users_home_gets_a_cache_folder_and_nothing_else(everything, tmp_path) -> None:
    process = watched(tmp_path, enclosed=False)
    out, place = tmp_path / "out", tmp_path / "rest" / "home" / ".cache" / "limbeck"
    results = str(everything.root / "out" / "results.csv")
    process.run([["info"], ["report", results, "--out", str(out / "report.html")]])
    assert [end["code"] for end in process.around["ended"]] == [0, 0]
    assert str(place) in process.around["ended"][0]["out"]
    assert process.written_beyond(out, place, tmp_path / "temporary") == [str(place.parent)]
    assert list(place.glob("matplotlib/fontlist-*.json"))


SPOILER = """
import os, pathlib, socket, subprocess, sys
here = pathlib.Path(sys.argv[1])
(here / "file").write_text("")
(here / "file").rename(here / "renamed")
descriptor = os.open(here, os.O_RDONLY)
os.remove("renamed", dir_fd=descriptor)
os.mkdir("folder", dir_fd=descriptor)
os.symlink("folder", here / "link")
(here / "file").touch()
subprocess.run([sys.executable, "-c", f"open({str(here / 'by-a-child')!r}, 'ab')"], check=True)
sys.exit() if len(sys.argv) > 2 else None
with socket.socket(type=socket.SOCK_DGRAM) as caller:
    caller.connect(("127.0.0.1", 9))
    caller.sendto(b"here", ("127.0.0.2", 9))
try:
    socket.getaddrinfo("127.0.0.3", 9)
except OSError:
    pass
"""


def test_the_watch_sees_files_folders_names_calls_and_children(tmp_path) -> None:
    log = tmp_path / "log"
    environment = {"PYTHONPATH": str(ROOT / "tests" / "isolation"), "LIMBECK_WATCHED": str(log)}
    place = tmp_path / "place"
    place.mkdir()
    subprocess.run([sys.executable, "-c", SPOILER, str(place)], env=environment, check=True)
    found = Watched(tmp_path, False, [json.loads(line) for line in log.read_text().splitlines()])
    names = ("file", "renamed", "folder", "link", "by-a-child")
    assert found.written_beyond() == sorted(str(place / name) for name in names)
    assert found.seen("network") == {"('127.0.0.1', 9)", "('127.0.0.2', 9)", "127.0.0.3"}
    events = {(event, Path(what).name) for kind, event, what in found.log if kind == "write"}
    assert {("os.rename", "renamed"), ("os.remove", "renamed"), ("os.mkdir", "folder")} <= events
