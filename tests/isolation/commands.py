"""Run commands of Limbeck one after the other in one process, which costs one start, and say how each ended.

    python commands.py ENDED.json < COMMANDS.json

The input is a list of lists of words; a path with a `*` is one that it matches, since a run's name holds a hash.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import limbeck
from limbeck.cli import main


def ending(words: list[str]) -> dict[str, Any]:
    """A command's exit code, and what it said."""
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        code = main([_found(word) if "*" in word else word for word in words])
    return {"words": words, "code": code, "out": said.getvalue(), "err": complained.getvalue()}


def _found(pattern: str) -> str:
    anchor = Path(pattern).anchor
    return str(next(Path(anchor).glob(pattern.removeprefix(anchor)), pattern))


def around() -> dict[str, Any]:
    """What of its surroundings this process could use."""
    places = {"package": Path(limbeck.__file__).parent, "home": Path.home(), "here": Path.cwd()}
    return {
        "package": limbeck.__file__,
        "writable": [name for name, path in places.items() if os.access(path, os.W_OK)],
        "interfaces": [name for _, name in socket.if_nameindex()],
    }


# Processes that a command spawns import this file again.
if __name__ == "__main__":
    ended: list[dict[str, Any]] = []
    for given in json.load(sys.stdin):
        ended.append(ending(given))
        # The others need what this one was to make.
        if ended[-1]["code"]:
            break
    Path(sys.argv[1]).write_text(json.dumps({**around(), "ended": ended}))
