"""Cells as Ray tasks, on a cluster that runs or on one that is started here and ends with the benchmark.

Every machine of a cluster sees the benchmark's folder and the cohort under the same path, as on a shared file system.
"""

from __future__ import annotations

import importlib
import os
import secrets
from typing import Any

from limbeck.benchmark.work import Outcome, Task, work
from limbeck.errors import ResourceError, UsageError

# Ray gives a task whose process or machine was lost to another one.
RETRIES = 3


class Ray:
    """The engine `ray`."""

    def __init__(self, workers: int, threads: int, address: str | None = None) -> None:
        # No telemetry; read when Ray is imported and by every process that it starts.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if not address:
            # The word by which the processes of a cluster know one another. Ray would write one to the user's home.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        try:
            # Not typed here, so that the types of this package are the same with Ray and without it.
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise UsageError("engine ray needs Ray, which is not installed: pip install 'limbeck[ray]'") from error
        try:
            self._ray.init(logging_level="error", log_to_driver=False, **_cluster(workers * threads, address))
        except ConnectionError as error:
            raise ResourceError(f"no Ray cluster answers at {address}: start one, or leave --address out") from error
        self._work = self._ray.remote(work).options(num_cpus=threads, max_retries=RETRIES)
        self._tasks: dict[Any, Task] = {}

    def room(self, task: Task) -> bool:
        """Always: Ray keeps the queue."""
        del task
        return True

    def start(self, task: Task) -> None:
        """Hand a cell to Ray."""
        self._tasks[self._work.remote(task)] = task

    def wait(self, seconds: float) -> list[Outcome]:
        """What has ended, as soon as something has, and at most after some seconds."""
        waiting = list(self._tasks)
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds)
        return [self._ended(reference) for reference in ready]

    def close(self) -> None:
        """Leave the cluster: what is still in hand there is stopped."""
        self._ray.shutdown()

    def _ended(self, reference: Any) -> Outcome:
        task = self._tasks.pop(reference)
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            line = str(error).strip().splitlines()[0]
            return Outcome(
                task.cell.name, "failed", problem=f"lost {RETRIES + 1} times: {type(error).__name__}: {line}"
            )
        return outcome


def _cluster(cores: int, address: str | None) -> dict[str, Any]:
    if address:
        return {"address": address}
    # `local` never joins a cluster that happens to run here. Tasks pass names, so the least memory is enough.
    return {
        "address": "local",
        "num_cpus": cores,
        "include_dashboard": False,
        "object_store_memory": 80 * 1024**2,
    }
