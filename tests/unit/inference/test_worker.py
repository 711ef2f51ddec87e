"""The thread beside: in order, whole, and never in the way of the end."""

from __future__ import annotations

import threading
import time
import weakref

import pytest

from limbeck.inference.worker import Worker


def test_tasks_are_done_in_order_and_errors_come_back() -> None:
    worker, done = Worker("test"), []
    futures = [worker.submit(done.append, number) for number in range(20)]
    failed = worker.submit(int, "x")
    last = worker.submit(len, "four")
    assert last.result(5) == 4
    assert done == list(range(20)) and all(future.done() for future in futures)
    with pytest.raises(ValueError, match="invalid literal"):
        failed.result(5)
    worker.stop()
    worker.join(5)


def test_after_stop_the_running_task_ends_and_no_other_begins() -> None:
    worker, begun, go = Worker("test"), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go.wait(5)
        return "whole"

    running, waiting = worker.submit(slow), worker.submit(len, "")
    assert begun.wait(5)
    worker.stop()
    worker.join(0.01)
    assert not running.done(), "join does not wait for ever"
    go.set()
    worker.join(5)
    assert running.result(5) == "whole" and waiting.cancelled()


def test_the_thread_does_not_hold_the_process() -> None:
    worker = Worker("a name of its own")
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "a name of its own"]
    assert thread.daemon
    worker.stop()
    worker.join(5)
    assert not thread.is_alive()


def test_what_a_task_was_given_is_let_go() -> None:
    class Large:
        pass

    worker, large = Worker("test"), Large()
    gone = weakref.ref(large)
    worker.submit(id, large).result(5)
    del large
    # Another task would take its place: the thread itself must let go, a moment after the result is there.
    deadline = time.monotonic() + 5
    while gone() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone() is None
    worker.stop()
    worker.join(5)
