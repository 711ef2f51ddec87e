"""No process works on, or waits for ever, when the one that started it is killed."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from limbeck.parent import end_with_parent


def wait_long(told: int, heed: bool) -> None:
    if heed:
        end_with_parent()
    os.write(told, f"{os.getpid()}\n".encode())
    time.sleep(600)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    # A zombie that nobody has waited for is dead.
    return state.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("heed", [True, False])
def test_a_process_ends_with_its_parent(heed: bool) -> None:
    ours, theirs = os.pipe()
    parent = os.fork()
    if parent == 0:
        get_context("fork").Process(target=wait_long, args=(theirs, heed)).start()
        time.sleep(600)
    with os.fdopen(ours) as told:
        child = int(told.readline())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    end = time.monotonic() + (10 if heed else 0.3)
    while alive(child) and time.monotonic() < end:
        time.sleep(0.01)
    # Without it the child would stay, so that this test can fail.
    assert alive(child) is not heed
    if not heed:
        os.kill(child, signal.SIGKILL)
