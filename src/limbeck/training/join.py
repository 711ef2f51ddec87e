"""Several processes, started by torchrun or by srun, become one training."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy

from limbeck import ranks
from limbeck.errors import UsageError
from limbeck.launch import Launch

# The others wait while the first validates.
_PATIENCE = timedelta(hours=6)


class _Started(ClusterEnvironment):
    """What Lightning asks about processes that somebody else has started."""

    def __init__(self, launched: Launch) -> None:
        super().__init__()
        self._launched = launched

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        """Where the first process listens: as told, or on the first machine of the step."""
        nodes = os.environ.get("SLURM_STEP_NODELIST", "127.0.0.1")
        return os.environ.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes)

    @property
    def main_port(self) -> int:
        """Its port: as told, or one that belongs to the job and its step, below those that systems hand out."""
        job, step = (int(os.environ.get(name, "0")) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
        return int(os.environ.get("MASTER_PORT") or 10000 + (100 * job + step) % 20000)

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._launched.processes

    def set_world_size(self, size: int) -> None:
        """Somebody else has set it."""

    def global_rank(self) -> int:
        return self._launched.rank

    def set_global_rank(self, rank: int) -> None:
        """Somebody else has set it."""

    def local_rank(self) -> int:
        return self._launched.local

    def node_rank(self) -> int:
        return 0


def join(launched: Launch, device: torch.device, precision: Literal["bf16-mixed", "32-true"]) -> Fabric:
    """Meet the other processes; gives Fabric on this process's own device. No module is wrapped.

    Args:
        launched: which of how many this is.
        device: the kind of device; GPUs are shared out by the process's number on its machine.
        precision: of Fabric.

    Raises:
        UsageError: there are fewer GPUs than processes here.
    """
    own = _own(launched, device)
    # Lightning looks its device up by the local rank. Small things are told by way of the CPU.
    strategy = DDPStrategy(
        parallel_devices=[own] * (launched.local + 1),
        cluster_environment=_Started(launched),
        process_group_backend="gloo" if own.type == "cpu" else "cpu:gloo,cuda:nccl",
        timeout=_PATIENCE,
    )
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    fabric = Fabric(accelerator=own.type, devices=launched.local + 1, strategy=strategy, precision=precision)
    fabric.launch()
    ranks.begin()
    return fabric


def _own(launched: Launch, device: torch.device) -> torch.device:
    if device.type == "cpu":
        return device
    if ":" in str(device):
        raise UsageError(f"device {device} for {launched.processes} processes: expected auto, cpu or cuda")
    here = torch.cuda.device_count()
    # srun may show each of its tasks one GPU alone.
    index = launched.local if here > 1 else 0
    if index >= here:
        raise UsageError(f"process {launched.local} of this machine has no GPU, of {here}: expected one for each")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)
