"""Notes what a process writes, removes or connects to, in the file that LIMBECK_WATCHED names.

With LIMBECK_BACKWARDS, folders are listed the other way round. Python imports this by itself where the folder is on
PYTHONPATH, so that it holds for the processes too which a command starts. What a library does without Python (from C
or Rust) is left to the read-only file system to stop.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Event -> where its paths are, each with the place of the folder that a relative one belongs to.
_CHANGES = {
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.truncate": ((0, None),),
    "sqlite3.connect": ((0, None),),
}
_LOOK_UPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request")
_CALLS = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")


def watch(log: str) -> None:
    """Note everything from now on; nothing is hindered."""
    # Each line is one write to a file that is opened for appending: lines of several processes do not mix.
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        for kind, what in _found(event, arguments):
            os.write(descriptor, (json.dumps([kind, event, what]) + "\n").encode())

    sys.addaudithook(hook)


def _found(event: str, arguments: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """What an event changes or reaches, if it does."""
    if event == "open":
        path, mode, flags = arguments
        if not isinstance(path, int) and ((flags or 0) & _WRITING or set(mode or "") & set("wax+")):
            yield "write", _whole(path)
    elif event in _CHANGES:
        for place, folder in _CHANGES[event]:
            yield "write", _whole(arguments[place], -1 if folder is None else arguments[folder])
    elif event in _LOOK_UPS:
        yield "network", str(arguments[0])
    elif event in _CALLS and arguments[0].family != socket.AF_UNIX:
        yield "network", str(arguments[1])


def _whole(path: Any, folder: int = -1) -> str:
    """The path from the root; of one that belongs to an open folder, or is one, by what the system says of that."""
    if isinstance(path, int):
        return str(_of(path))
    return os.path.normpath((_of(folder) if folder >= 0 else Path.cwd()) / os.fsdecode(path))


def _of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


if log := os.environ.get("LIMBECK_WATCHED"):
    watch(log)
if os.environ.get("LIMBECK_BACKWARDS"):
    from backwards import turned

    vars(os).update(turned())
