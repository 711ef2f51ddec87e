"""One process holds a file, and lets go of it when it ends, however that comes about."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from limbeck.lock import held, holder

HELD = """
import os, sys, time
from pathlib import Path
from limbeck.lock import held
with held(Path(sys.argv[1])) as alone:
    assert alone
    # As a process that reads crops does: it lives on when the one that it works for is killed.
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)
"""


def test_a_lock_is_held_by_one_and_says_by_whom(tmp_path: Path) -> None:
    path = tmp_path / "run" / "train.lock"
    with held(path) as first, held(path) as second:
        assert first and not second
        assert holder(path) == str(os.getpid())
    with held(path) as again:
        assert again


def test_a_lock_is_held_also_where_its_number_finds_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with held(tmp_path / "lock") as first, held(tmp_path / "lock") as second:
        assert first and not second
        assert holder(tmp_path / "lock") == "unknown"


def test_a_lock_ends_with_its_holder_even_if_children_live_on(tmp_path: Path) -> None:
    path = tmp_path / "train.lock"
    process = subprocess.Popen([sys.executable, "-c", HELD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    with held(path) as alone:
        assert not alone
        assert holder(path) == str(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    try:
        end = time.monotonic() + 5
        while True:
            with held(path) as alone:
                if alone:
                    break
            assert time.monotonic() < end, "a dead process holds the lock"
            time.sleep(0.02)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_file_that_its_holder_takes_away_is_nobody_s(tmp_path) -> None:
    path = tmp_path / "folder" / "lock"
    with held(path, leave=False) as first:
        assert first and holder(path) == str(os.getpid())
        with held(path, leave=False) as second:
            assert not second
    assert list(tmp_path.iterdir()) == []
    assert holder(path) == "unknown"


def test_whoever_waited_for_a_file_that_was_taken_away_holds_the_one_that_lies_there(tmp_path) -> None:
    path = tmp_path / "folder" / "lock"
    waiting, got = threading.Event(), threading.Event()

    def wait_for_it() -> None:
        waiting.set()
        with held(path, wait=True, leave=False) as late, held(path) as again:
            assert late and not again, "the file that lies there is the one that is held"
            got.set()

    with held(path, leave=False):
        other = threading.Thread(target=wait_for_it)
        other.start()
        waiting.wait()
        time.sleep(0.1)
        assert not got.is_set()
    other.join(10)
    assert got.is_set()
