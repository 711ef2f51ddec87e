"""The cache folder: what lies there can be made again. Limbeck keeps nothing there itself; matplotlib does."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HOME = "LIMBECK_HOME"
_MATPLOTLIB = "MPLCONFIGDIR"


def folder() -> Path:
    """What `LIMBECK_HOME` names, else `limbeck` in `XDG_CACHE_HOME` or in `~/.cache`; it need not be there."""
    if named := os.environ.get(HOME):
        return Path(named).absolute()
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative ones ignored. A user without a home gets a path that begins with ~.
    return Path(caches if os.path.isabs(caches) else os.path.expanduser("~/.cache"), "limbeck")  # noqa: PTH111, PTH117


@contextmanager
def lent_to_matplotlib() -> Iterator[None]:
    """Have matplotlib, which Lightning imports too, keep its list of fonts in the cache folder.

    By itself it makes a folder among the user's settings. Where the cache folder cannot be written, it gets a temporary
    one for as long as this lasts. A folder that the user has named for it stays.
    """
    # It tells at length where it writes, and when it lists fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with ExitStack() as stack:
        if _MATPLOTLIB not in os.environ:
            place = folder() / "matplotlib"
            os.environ[_MATPLOTLIB] = str(place) if _writable(place) else stack.enter_context(_temporary())
            stack.callback(os.environ.pop, _MATPLOTLIB, None)
        yield


@contextmanager
def _temporary() -> Iterator[str]:
    import tempfile  # noqa: PLC0415 - rarely needed

    with tempfile.TemporaryDirectory(prefix="limbeck-", ignore_cleanup_errors=True) as path:
        yield path


def _writable(place: Path) -> bool:
    """Whether a folder can be written to, or made where it is not there."""
    try:
        there = next((path for path in (place, *place.parents) if path.exists()), None)
    except OSError:
        # A folder above may not be entered, such as another user's home.
        return False
    return place.is_absolute() and there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK)
