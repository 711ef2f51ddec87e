"""Many patients, one after the other: the next are read and the last is written while the network works on one.

The results are those of one patient at a time, byte for byte, since the network sees the patients in the same order
and in the same thread.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from limbeck.anatomy import Modality, Subset
from limbeck.data.source import Source
from limbeck.durable import lacks_space
from limbeck.errors import ModelError, ResourceError
from limbeck.inference.files import Content, Files, Options, finished, provenance, write
from limbeck.inference.worker import Worker

if TYPE_CHECKING:
    from limbeck.inference.model import Model, Patient

# Patients that are read before their turn: enough to bridge one slow file, few enough for a laptop's memory.
AHEAD = 2
# How long an interrupted command waits for the files that it is writing.
GRACE_S = 10.0


@dataclass(frozen=True)
class Job:
    """One patient to segment.

    Attributes:
        name: what the patient is called.
        scans: where each sequence lies that is there.
        files: where the result goes.
    """

    name: str
    scans: Mapping[Modality, Source]
    files: Files


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the job.
        facts: what the JSON beside the mask holds; None if the job failed.
        kept: whether the files lay there from before, finished and unharmed.
        error: why the job failed, or None.
    """

    job: Job
    facts: dict[str, Any] | None = None
    kept: bool = False
    error: Exception | None = None


@dataclass(frozen=True)
class _Read:
    patient: Patient
    made_from: dict[str, Any]


def segment_all(
    model: Model,
    jobs: Iterable[Job],
    options: Options,
    *,
    overwrite: bool = False,
    done: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Segment patients and write what was found; a job that fails leaves nothing behind and stops no other.

    Memory is bounded whatever the number of jobs: `AHEAD` patients wait, one is with the network and one with the
    writer. Whenever this is interrupted, every mask under its final name is whole and has its JSON.

    Args:
        model: what segments.
        jobs: the patients.
        options: what to write.
        overwrite: whether to replace masks that lie there. Without it, what is finished is kept. In both cases a job
            fails if other files are in its way.
        done: told of each outcome, in the jobs' order.

    Raises:
        ModelError: the model is damaged, or was taken away meanwhile.
        ResourceError: memory or disk ran out. In all cases, what is finished is kept, and what was computed before is
            still written, if it can be; `done` is not told of it.
    """
    outcomes: list[Outcome] = []
    pending: deque[Future[Outcome]] = deque()
    reader, writer = Worker("reader"), Worker("writer")

    def collect(most: int) -> None:
        while len(pending) > most:
            outcomes.append(pending.popleft().result())
            _let_go(outcomes[-1].error)
            if done is not None:
                done(outcomes[-1])

    try:
        submitted = ((job, reader.submit(_read, model, job, options, overwrite)) for job in jobs)
        ahead = deque(islice(submitted, AHEAD))
        while ahead:
            job, reading = ahead.popleft()
            ahead.extend(islice(submitted, 1))
            pending.append(_compute(model, job, reading, options, writer))
            del reading
            collect(most=1)
        collect(most=0)
    except Exception:
        # What was computed before is written, though its turn may not have come yet.
        wait(pending, GRACE_S)
        raise
    finally:
        for worker in (reader, writer):
            worker.stop()
        for worker in (writer, reader):
            worker.join(GRACE_S)
    return outcomes


def _read(model: Model, job: Job, options: Options, overwrite: bool) -> _Read | Outcome:
    try:
        choice = model.choose(Subset(job.scans))
        made_from = provenance(model, choice, job.scans, options)
        if not overwrite:
            facts = finished(job.files, made_from)
            if facts is not None:
                return Outcome(job, facts, kept=True)
        job.files.refuse_existing(options, overwrite)
        scans = {modality.role: job.scans[modality] for modality in sorted(job.scans)}
        return _Read(model.read(scans, resample=options.resample), made_from)
    except Exception as error:
        return _failure(job, error)


def _compute(
    model: Model, job: Job, reading: Future[_Read | Outcome], options: Options, writer: Worker
) -> Future[Outcome]:
    read = reading.result()
    if isinstance(read, Outcome):
        return _settled(read)
    try:
        result = model.compute(read.patient, flips=options.flips, processing=options.processing)
        content = Content.of(result, options)
    except Exception as error:
        return _settled(_failure(job, error))
    return writer.submit(_write, job, content, read.made_from, options)


def _write(job: Job, content: Content, made_from: dict[str, Any], options: Options) -> Outcome:
    try:
        return Outcome(job, write(job.files, content, made_from, options, job.scans))
    except Exception as error:
        return _failure(job, error)


def _failure(job: Job, error: Exception) -> Outcome:
    """The failure of this one job.

    Raises:
        Exception: the error itself, where the next job would fail in the same way: the model is damaged, or memory or
            disk ran out.
    """
    out_of_memory = isinstance(error, MemoryError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )
    out_of_disk = isinstance(error, OSError) and lacks_space(error)
    if isinstance(error, (ModelError, ResourceError)) or out_of_memory or out_of_disk:
        raise error
    return Outcome(job, error=error)


def _settled(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future


def _let_go(error: BaseException | None) -> None:
    """Free what the calls held through which an error went, such as volumes; its traceback still names their lines."""
    met: set[int] = set()
    while error is not None and id(error) not in met:
        met.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
