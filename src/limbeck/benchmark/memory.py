"""How much memory is left, so that no process is started which the system would have to kill."""

from __future__ import annotations

import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")


def available_mib(meminfo: Path = _MEMINFO, container: Path = _CONTAINER) -> float:
    """Memory in MiB that may still be used: the machine's, or a container's where that is less; else infinite."""
    return min(_of_machine(meminfo), _of_container(container))


def _of_machine(meminfo: Path) -> float:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return float("inf")
    return int(found[1]) / 1024 if found else float("inf")


def _of_container(folder: Path) -> float:
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        # Files that were read stay in memory until something else needs it.
        cached = re.search(r"^inactive_file (\d+)", (folder / "memory.stat").read_text(encoding="ascii"), re.MULTILINE)
    except (OSError, ValueError):
        return float("inf")
    return (limit - used + (int(cached[1]) if cached else 0)) / 1024**2
