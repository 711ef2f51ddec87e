"""A pool of processes that leave Ctrl-C to the one that started them, and end when it is broken off."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import ParamSpec, TypeVar

from limbeck.parent import end_with_parent
from limbeck.threads import limited

Words = ParamSpec("Words")
Result = TypeVar("Result")


class Workers(ProcessPoolExecutor):
    """Processes of one thread each; used as a context.

    Work that was not begun is dropped at its end. What is under way is waited for, but for an interruption or a
    generator that is closed: nobody takes its results then, and the processes end at once.

    Args:
        count: how many processes there are at most.
    """

    def __init__(self, count: int) -> None:
        # Spawned, since a fork of a process whose threads hold locks can hang.
        spawn = get_context("spawn")
        self._hears, self._tells = spawn.Pipe(duplex=False)
        super().__init__(count, mp_context=spawn, initializer=end_with_parent, initargs=(self._hears,))

    def submit(
        self, function: Callable[Words, Result], /, *positional: Words.args, **named: Words.kwargs
    ) -> Future[Result]:
        """Hand out work, for which a process is started while there are fewer than `count`."""
        # Ctrl-C goes to the whole group, and every process would show where it was. Processes inherit what is blocked;
        # a signal that comes meanwhile waits for this one, unless another thread takes it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with limited(1):
                return super().submit(function, *positional, **named)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drop what is not begun, and end."""
        if kind is not None and not issubclass(kind, Exception):
            # Never received, so that every process finds it.
            self._tells.send(None)
        self.shutdown(cancel_futures=True)
        self._tells.close()
        self._hears.close()
