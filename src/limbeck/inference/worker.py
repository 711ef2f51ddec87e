"""A thread beside the main one that does what it is handed, one thing after the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Worker:
    """One thread and its tasks in order. Unlike the threads of an executor, it cannot hold up the end of the process.

    Args:
        name: the thread's name.
    """

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._stopping = False
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Future[Result]:
        """Have a call made after those before it; its result or its exception is the future's."""
        future: Future[Result] = Future()
        # Taken out for the call, since an error that the call hands back would hold the frame of `task` and all in it.
        calls = [partial(function, *given, **named)]

        def task() -> None:
            if self._stopping:
                future.cancel()
                return
            try:
                result = calls.pop()()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._tasks.put(task)
        return future

    def stop(self) -> None:
        """Begin no more tasks; the one that runs goes on."""
        self._stopping = True
        self._tasks.put(None)

    def join(self, seconds: float) -> None:
        """Wait for the end of the task that runs, but no longer than this."""
        self._thread.join(seconds)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            # Whatever the task was given would otherwise be held until the next one comes.
            del task
