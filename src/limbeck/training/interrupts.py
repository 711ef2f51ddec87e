"""Signals that ask a process to end: at once, or where nothing is lost.

The command line installs `heed`; a library's user keeps the handlers that are there. What has a good moment to stop
wraps itself in `patiently`, in which a first signal is only noted and a second ends at once. Signals belong to the
process, and so does what is noted of them. Free of torch.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from limbeck.errors import LimbeckError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal ended the work: like Ctrl-C in a library, no failure that anything may catch and survive.

    Attributes:
        number: the signal's.
        note: what was kept, for the user; empty where nobody knows.
    """

    def __init__(self, number: int, note: str = "") -> None:
        super().__init__(note)
        self.number, self.note = number, note


class _Watch:
    patient = False
    asked = 0


def heed(number: int, frame: FrameType | None = None) -> None:
    """The handler: note the signal where the work stops by itself, else end it.

    Raises:
        Interrupted: nobody stops by themselves, or this is the second signal.
    """
    del frame
    first, _Watch.asked = not _Watch.asked, number
    if not (_Watch.patient and first):
        raise Interrupted(number)


@contextmanager
def heeded() -> Iterator[None]:
    """Install the handler, and put back what was there; a signal that is ignored, as by nohup, stays ignored."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    replaced = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in replaced:
        signal.signal(number, heed)
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)


@contextmanager
def patiently() -> Iterator[None]:
    """Work that asks `requested` now and then; whatever breaks after a signal was broken by it.

    Raises:
        Interrupted: a signal came and the work did not stop for it.
    """
    _Watch.patient, _Watch.asked = True, 0
    try:
        yield
    except LimbeckError:
        raise
    except Exception as error:
        # A signal to the whole group ends other processes of one training, too, and the step waits for their part.
        if _Watch.asked:
            raise Interrupted(_Watch.asked) from error
        raise
    finally:
        _Watch.patient = False
    if _Watch.asked:
        raise Interrupted(_Watch.asked)


@contextmanager
def impatiently() -> Iterator[None]:
    """A stretch within `patiently` that may be broken off anywhere.

    Raises:
        Interrupted: a signal comes, or has come before.
    """
    patient, _Watch.patient = _Watch.patient, False
    try:
        if _Watch.asked:
            raise Interrupted(_Watch.asked)
        yield
    finally:
        _Watch.patient = patient


def requested() -> int:
    """The signal that was noted, or 0."""
    return _Watch.asked
