"""Cells in processes of this machine. A process that dies fails its cell alone, and another takes its place."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import torch

from limbeck.benchmark.memory import available_mib
from limbeck.benchmark.work import Outcome, Task, work
from limbeck.parent import end_with_parent
from limbeck.threads import limited
from limbeck.training.interrupts import Interrupted, heed

# How long a process may take for the step in hand and its checkpoint, in seconds.
GRACE = 30.0
# A process with torch, before anything was measured.
FIRST_GUESS_MIB = 1500.0


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    task: Task | None = None


class Local:
    """Some processes, each with some threads."""

    def __init__(self, workers: int, threads: int) -> None:
        self.count, self.threads = workers, threads
        self._workers: list[_Worker] = []
        self._peaks: dict[str, float] = {}

    def room(self, task: Task) -> bool:
        """Whether a cell can be begun: a process is idle, and there is memory for it; one always can."""
        busy = sum(worker.task is not None for worker in self._workers)
        if busy == 0:
            return True
        return busy < self.count and available_mib() >= self.need_mib(task.cell.method)

    def need_mib(self, method: str) -> float:
        """The memory that a cell of a method needs: the most that one has held, else the most that any has."""
        return self._peaks.get(method, max(self._peaks.values(), default=FIRST_GUESS_MIB))

    def start(self, task: Task) -> None:
        """Begin a cell; only where there is room."""
        # Idle ones may have been killed, too, for the memory that they keep.
        for dead in [one for one in self._workers if one.task is None and not one.process.is_alive()]:
            self._leave(dead)
        worker = next((worker for worker in self._workers if worker.task is None), None) or self._hire()
        worker.task = task
        try:
            worker.pipe.send(task)
        except OSError:
            # It died just now; `wait` finds it dead.
            return

    def wait(self, seconds: float) -> list[Outcome]:
        """What has ended, as soon as something has, and at most after some seconds."""
        busy = [worker for worker in self._workers if worker.task is not None]
        ready = wait([item for worker in busy for item in (worker.pipe, worker.process.sentinel)], seconds)
        return [self._ended(worker) for worker in busy if worker.pipe in ready or worker.process.sentinel in ready]

    def close(self) -> None:
        """Stop all processes, each after its step and a checkpoint; a second Ctrl-C does not wait for them."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(GRACE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _ended(self, worker: _Worker) -> Outcome:
        task, worker.task = worker.task, None
        assert task is not None
        try:
            outcome: Outcome = worker.pipe.recv()
        except (EOFError, OSError):
            return self._died(worker, task)
        peak = max(outcome.peak_mib, self._peaks.get(task.cell.method, 0.0))
        self._peaks[task.cell.method] = peak or FIRST_GUESS_MIB
        return outcome

    def _died(self, worker: _Worker, task: Task) -> Outcome:
        self._leave(worker)
        code = worker.process.exitcode or 0
        problem = f"its process ended with exit code {code}"
        if code < 0:
            problem = f"its process was killed by {signal.Signals(-code).name}"
            problem += ", most likely out of memory: use fewer workers" if -code == signal.SIGKILL else ""
        return Outcome(task.cell.name, "failed", problem=problem)

    def _leave(self, dead: _Worker) -> None:
        dead.process.join()
        dead.pipe.close()
        self._workers.remove(dead)

    def _hire(self) -> _Worker:
        # Spawned, since a fork of a process whose threads hold locks can hang. No daemon: loaders have processes too.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        with limited(self.threads):
            process = context.Process(target=_serve, args=(theirs, self.threads))
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker


def _serve(pipe: Connection, threads: int) -> None:
    """Work on cells until the pipe ends."""
    # Ctrl-C reaches every process of a terminal; the one that started this one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, heed)
    end_with_parent()
    torch.set_num_threads(threads)
    try:
        while True:
            pipe.send(work(pipe.recv()))
    except EOFError:
        return
    except Interrupted as stop:
        # The exit code says by what it ended, as if it had not waited for the step.
        signal.signal(stop.number, signal.SIG_DFL)
        os.kill(os.getpid(), stop.number)
