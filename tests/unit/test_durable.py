"""Files are whole or absent, whatever happens to the writer."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from limbeck import durable
from limbeck.durable import left_behind, replacing, sha256, write_json, write_text
from limbeck.errors import ResourceError

NUMBERS = np.zeros(100_000)
WRITERS: dict[str, Callable[[Path], object]] = {
    "text.txt": lambda path: path.write_text("x" * 800_000),
    "array.npy": lambda path: np.save(path, NUMBERS),
    "weights.safetensors": lambda path: save_file({"numbers": torch.from_numpy(NUMBERS)}, path),
}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    path.write_text("old")
    return path


def in_a_child(action: Callable[[], object]) -> int:
    """Run an action in a forked process: its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            action()
            code = 0
        except ResourceError:
            code = 5
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_success_replaces_the_target_and_leaves_nothing_else(target: Path) -> None:
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert files(target.parent) == ["results.csv"]


def test_the_temporary_file_lies_beside_its_target_with_its_suffixes(tmp_path: Path) -> None:
    with replacing(tmp_path / "deep" / "mask.nii.gz") as temporary:
        assert temporary.parent == tmp_path / "deep"
        assert temporary.name.startswith(".")
        assert temporary.suffixes[-2:] == [".nii", ".gz"]
        temporary.touch()


@pytest.mark.parametrize("failure", [ValueError("bad value"), KeyboardInterrupt(), OSError(errno.EIO, "broken disk")])
def test_a_failing_writer_leaves_the_old_file(target: Path, failure: BaseException) -> None:
    with pytest.raises(type(failure)) as caught, replacing(target) as temporary:
        temporary.write_text("half of the n")
        raise failure
    assert caught.value is failure
    assert target.read_text() == "old"
    assert files(target.parent) == ["results.csv"]


def test_a_writer_that_writes_nothing_is_an_error(target: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(target):
        pass
    assert target.read_text() == "old"


def test_a_kill_between_write_and_rename_leaves_the_old_file(target: Path) -> None:
    def writer() -> None:
        with replacing(target) as temporary:
            temporary.write_text("new")
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_child(writer) == -signal.SIGKILL
    assert target.read_text() == "old"
    # What the dead writer left behind does not stop the next.
    write_text(target, "newer")
    assert target.read_text() == "newer"


def test_what_a_killed_writer_left_is_told_from_results(tmp_path: Path) -> None:
    with replacing(tmp_path / "mask.nii.gz") as temporary:
        temporary.touch()
        assert left_behind(temporary)
    assert not any(map(left_behind, (tmp_path / name for name in ("mask.nii.gz", ".mask", ".tmp.mask", "x.tmp.mask"))))


def test_a_kill_at_any_instant_leaves_a_whole_file(target: Path) -> None:
    contents = ["a" * 300_000, "b" * 300_000]
    target.write_text(contents[0])

    def writer() -> None:
        for turn in range(10**9):
            write_text(target, contents[turn % 2])

    for instant in range(8):
        child = os.fork()
        if child == 0:
            writer()
        time.sleep(0.01 + 0.003 * instant)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert target.read_text() in contents


def test_content_reaches_the_disk_before_its_name_does(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(durable, "sync", lambda path: events.append("folder" if path.is_dir() else path.read_text()))
    rename = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, other: (events.append("rename"), rename(self, other)))
    write_text(target, "new")
    assert events == ["new", "rename", "folder"]


def test_a_full_disk_is_told_in_one_line(target: Path) -> None:
    # /dev/full answers every write as a full disk does.
    with (
        pytest.raises(ResourceError, match=r"no space left to write .*results\.csv") as caught,
        replacing(target) as temporary,
    ):
        temporary.symlink_to("/dev/full")
        temporary.write_text("new")
    assert caught.value.exit_code == 5
    assert isinstance(caught.value.__cause__, OSError)
    assert target.read_text() == "old"
    assert files(target.parent) == ["results.csv"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_place_that_may_not_be_written_to_is_told_in_one_line(target: Path, number: int) -> None:
    words = os.strerror(number)
    with (
        pytest.raises(ResourceError, match=rf"results\.csv cannot be written: {words}: expected") as caught,
        replacing(target),
    ):
        raise OSError(number, words)
    assert caught.value.exit_code == 5 and "\n" not in str(caught.value)
    assert target.read_text() == "old"


@pytest.mark.parametrize("name", WRITERS)
def test_running_out_of_space_midway_keeps_the_old_file(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    target.write_text("old")

    def writer() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        with replacing(target) as temporary:
            WRITERS[name](temporary)

    assert in_a_child(writer) == ResourceError.exit_code
    assert target.read_text() == "old"
    assert files(tmp_path) == [name]


@pytest.mark.parametrize(
    "message",
    ["100 requested and 52 written", "Error while serializing: I/O error: No space left on device (os error 28)"],
)
def test_a_full_disk_is_known_in_the_words_of_numpy_and_safetensors(target: Path, message: str) -> None:
    with pytest.raises(ResourceError), replacing(target):
        raise RuntimeError(message)


def test_threads_that_write_one_target_do_not_mix(target: Path) -> None:
    contents = [letter * 200_000 for letter in "abcd"]
    failures: list[BaseException] = []

    def write(content: str) -> None:
        try:
            for _ in range(5):
                write_text(target, content)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert target.read_text() in contents
    assert files(target.parent) == ["results.csv"]


def test_json_keeps_its_order_and_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    write_json(target, {"z": "œdème", "a": [1, None]})
    assert target.read_text(encoding="utf-8") == '{\n "z": "œdème",\n "a": [\n  1,\n  null\n ]\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        write_json(target, {"loss": float("nan")})
    assert "œdème" in target.read_text(encoding="utf-8")


def test_sha256_is_the_known_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_names_that_are_no_text_come_back_from_json(target: Path) -> None:
    for content in ({"Größe": "a\udcffb"}, {"Größe": "脳"}):
        write_json(target, content)
        assert json.loads(target.read_text(encoding="utf-8")) == content
