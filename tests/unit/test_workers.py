"""A pool that is interrupted says nothing of its own, ends at once, and computes with one thread a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from limbeck.workers import Workers

# Whoever waits for the work waits longer than these tests do.
LONG = 120
POOL = f"""
import sys, time
from concurrent.futures import wait
from limbeck.workers import Workers
with Workers(4) as pool:
    for seconds in (1, 1, 1, 1, {LONG}):
        work = pool.submit(time.sleep, seconds)
    # While the processes import, or when all of them but one wait for work.
    time.sleep(0.05 if sys.argv[1] == "starting" else 2)
    print("handed out", flush=True)
    wait([work])
"""
INTERRUPTED = """
import os, signal
from concurrent.futures import ProcessPoolExecutor
from limbeck.workers import Workers
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupted(*given):
    os.kill(os.getpid(), signal.SIGINT)
    print("handed out", end=", ")
ProcessPoolExecutor.submit = interrupted
before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
try:
    with Workers(1) as pool:
        pool.submit(abs, 1)
except KeyboardInterrupt:
    print("then interrupted", end=", ")
print("blocked as before:", signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before)
"""


@pytest.mark.parametrize("moment", ["starting", "idle"])
def test_an_interrupted_group_shows_one_traceback_and_ends(moment: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", POOL, moment],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "handed out\n"
        # As a terminal does.
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=LONG / 2)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert said.count("Traceback") == 1 and said.rstrip().endswith("KeyboardInterrupt")


def test_a_signal_is_not_lost_while_a_process_starts() -> None:
    # A process of its own: threads that others left in this one would take the signal that its own thread blocks.
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=LONG, check=False
    )
    assert done.stdout == "handed out, then interrupted, blocked as before: True\n", done.stderr


def test_what_was_handed_out_is_waited_for_unless_it_is_broken_off() -> None:
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Workers(1) as pool:
        pool.submit(abs, 1).result()
        given_up = pool.submit(time.sleep, LONG)
        raise KeyboardInterrupt
    assert time.monotonic() - begun < LONG / 2
    assert given_up.done()
    with pytest.raises(ValueError, match="ours"), Workers(1) as pool:
        kept = pool.submit(pow, 2, 3)
        while not (kept.running() or kept.done()):
            time.sleep(0.01)
        raise ValueError("ours")
    assert kept.result() == 8


def test_a_process_computes_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with Workers(1) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
