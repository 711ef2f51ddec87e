"""How this process was started: alone, or as one of several by torchrun or by srun. Free of torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from limbeck.errors import UsageError

# The launcher's variables for rank, processes in all, and rank on this machine. SLURM sets SLURM_NTASKS in a batch
# script too, which is one process; a step's number of tasks is set by srun alone.
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SRUN = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")


@dataclass(frozen=True)
class Launch:
    """Which of how many processes this is.

    Attributes:
        rank: its number, from 0.
        processes: how many there are.
        local: its number on its machine, from 0.
    """

    rank: int = 0
    processes: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0


def launch(environment: Mapping[str, str] | None = None) -> Launch:
    """What the environment says; torchrun within srun goes before srun.

    Raises:
        UsageError: it contradicts itself.
    """
    said = os.environ if environment is None else environment
    if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= said.keys():
        return _read(said, _TORCHRUN)
    return _read(said, _SRUN) if _SRUN[1] in said else Launch()


def launched() -> Launch:
    """As `launch`, for those who only have to speak: an environment that contradicts itself is one process."""
    try:
        return launch()
    except UsageError:
        return Launch()


def _read(said: Mapping[str, str], names: tuple[str, str, str]) -> Launch:
    values = [said.get(name, "0") for name in names]
    if not all(value.isdecimal() for value in values) or int(values[0]) >= int(values[1]):
        found = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
        raise UsageError(f"started with {found}: expected numbers, the first below the second (torchrun, srun)")
    rank, processes, local = map(int, values)
    return Launch(rank, processes, local) if processes > 1 else Launch()
