"""Ways of writing files that the harnesses here have to catch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def copying() -> None:
    """Make this process write as `durable` warns: elsewhere first, then copied under the final name."""
    from kill_moments import patch_everywhere  # noqa: PLC0415

    from limbeck import durable  # noqa: PLC0415

    @contextmanager
    def careless(target: Path) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / target.name
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            content = temporary.read_bytes()
            size = len(content) // 8 + 1
            with target.open("wb") as stream:
                for start in range(0, len(content), size):
                    stream.write(content[start : start + size])
                    stream.flush()
                    os.fsync(stream.fileno())

    patch_everywhere("replacing", durable.replacing, careless)


def in_place() -> None:
    """Make this process write under the final name from the first byte on."""
    from kill_moments import patch_everywhere  # noqa: PLC0415

    from limbeck import durable  # noqa: PLC0415

    @contextmanager
    def careless(target: Path) -> Iterator[Path]:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield target

    patch_everywhere("replacing", durable.replacing, careless)


CARELESS: dict[str, Callable[[], None]] = {"copying": copying, "in-place": in_place, "none": lambda: None}
