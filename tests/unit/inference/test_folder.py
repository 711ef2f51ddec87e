"""Many patients: the same masks as one at a time, no failure stops the others, an interruption leaves none in part."""

from __future__ import annotations

import gc
import json
import signal
import threading
import time
import traceback
import weakref
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from begun import Begun
from segmenting import FalseModel, Sheet, jobs_of, write_model, write_patient

from limbeck.anatomy import Modality
from limbeck.durable import sha256
from limbeck.errors import DataError, ModelError, ResourceError
from limbeck.inference import folder as many
from limbeck.inference.files import Content, Options
from limbeck.inference.folder import AHEAD, Outcome, segment_all
from limbeck.inference.model import Model

NAMES = ("anna", "bela", "cora", "dora", "edda", "fay")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> dict:
    root = tmp_path_factory.mktemp("patients")
    return {name: write_patient(root / name, seed) for seed, name in enumerate(NAMES)}


def test_many_give_what_each_gives_alone(patients, tmp_path) -> None:
    """Byte for byte, in any order, with some patients in part, for a real network."""
    folder = write_model(tmp_path / "model")
    partial = {**patients, "anna": {m: patients["anna"][m] for m in (Modality.T1, Modality.T2)}}
    options = Options(probabilities=True)
    segment_all(Model.load(folder, "cpu"), jobs_of(partial, tmp_path / "many"), options)
    for job in jobs_of(dict(reversed(partial.items())), tmp_path / "alone"):
        (outcome,) = segment_all(Model.load(folder, "cpu"), [job], options)
        assert outcome.error is None
    found = contents(tmp_path / "many")
    assert len(found) == 3 * len(NAMES) and found == contents(tmp_path / "alone")
    assert len({found[f"{name}.nii.gz"] for name in NAMES}) == len(NAMES), "patients differ"
    assert json.loads(found["anna.json"])["sequences"] == "t1+t2"


def test_outcomes_come_in_order_and_a_failure_leaves_nothing(patients, tmp_path) -> None:
    def fail(name: str) -> None:
        if name in ("bela", "dora"):
            raise DataError(f"{name}: bad")

    without = {**patients, "fay": {Modality.T2: patients["fay"][Modality.T2]}}
    told: list[Outcome] = []
    model = FalseModel(on_read=lambda name: name != "dora" and fail(name), on_compute=fail)
    outcomes = segment_all(model, jobs_of(without, tmp_path), Options(), done=told.append)
    assert outcomes == told and [outcome.job.name for outcome in outcomes] == list(NAMES)
    errors = {outcome.job.name: str(outcome.error) for outcome in outcomes if outcome.error}
    assert errors.keys() == {"bela", "dora", "fay"} and "flair is missing" in errors["fay"]
    assert {name.split(".")[0] for name in contents(tmp_path)} == {"anna", "cora", "edda"}


def test_a_failure_that_nobody_foresaw_stops_no_other(patients, tmp_path) -> None:
    def stumble(name: str) -> None:
        if name == "anna":
            raise ZeroDivisionError("odd")

    outcomes = segment_all(FalseModel(on_read=stumble), jobs_of(patients, tmp_path), Options())
    assert [outcome.job.name for outcome in outcomes if outcome.error] == ["anna"]


@pytest.mark.parametrize(
    "error",
    [
        ResourceError("full"),
        MemoryError(),
        OSError(28, "No space left on device"),
        RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"),
        ModelError("damaged"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["on_read", "on_compute", "on_write"])
def test_what_every_patient_would_meet_stops_all(where, error, patients, tmp_path, monkeypatch) -> None:
    def meet(name: str) -> None:
        if name == "cora":
            raise error

    written = many.write

    def write(files, *rest):
        meet(files.mask.name.split(".")[0])
        return written(files, *rest)

    model = FalseModel(**{where: meet}) if where != "on_write" else FalseModel()
    if where == "on_write":
        monkeypatch.setattr(many, "write", write)
    with pytest.raises(type(error)):
        segment_all(model, jobs_of(patients, tmp_path), Options())
    names = {name.split(".")[0] for name in contents(tmp_path)}
    assert {"anna", "bela"} <= names and not names & {"cora", "edda", "fay"}


def test_what_was_computed_is_written_though_the_writer_is_late(patients, tmp_path, monkeypatch) -> None:
    class Late(many.Worker):
        def submit(self, function, *given):  # type: ignore[no-untyped-def, override]
            def late(*words):  # type: ignore[no-untyped-def]
                time.sleep(0.3 if function is many._write else 0)
                return function(*words)

            return super().submit(late, *given)

    def meet(name: str) -> None:
        if name == "cora":
            raise ResourceError("full")

    monkeypatch.setattr(many, "Worker", Late)
    with pytest.raises(ResourceError):
        segment_all(FalseModel(on_compute=meet), jobs_of(patients, tmp_path), Options())
    assert {name.split(".")[0] for name in contents(tmp_path)} == {"anna", "bela"}


def test_reading_and_writing_go_on_while_the_network_works(patients, tmp_path, monkeypatch) -> None:
    """Each stage waits for what only another, at the same time, can bring."""
    read, computing, writing = ({name: threading.Event() for name in NAMES} for _ in range(3))
    first, second, third = NAMES[:3]

    def compute(name: str) -> None:
        computing[name].set()
        if name == first:
            assert read[second].wait(5) and read[third].wait(5), "the next are read meanwhile"
        if name == second:
            assert writing[first].wait(5), "the last is written meanwhile"

    inner = many.write

    def write(files, *rest):
        name = files.mask.name.split(".")[0]
        writing[name].set()
        assert name != first or computing[second].wait(5), "the next is computed meanwhile"
        return inner(files, *rest)

    monkeypatch.setattr(many, "write", write)
    model = FalseModel(on_read=lambda name: read[name].set(), on_compute=compute)
    outcomes = segment_all(model, jobs_of(patients, tmp_path), Options())
    assert not [outcome.error for outcome in outcomes if outcome.error]


def test_memory_does_not_grow_with_the_patients(patients, tmp_path) -> None:
    """A slow network does not let read patients pile up."""
    alive: weakref.WeakSet[Sheet] = weakref.WeakSet()
    most = 0

    class Counting(FalseModel):
        def read(self, images, *, resample=False):
            alive.add(sheet := Counted(super().read(images, resample=resample)))
            return sheet

        def compute(self, patient, **options):
            nonlocal most
            time.sleep(0.03)
            gc.collect()
            most = max(most, len(alive))
            return super().compute(patient, **options)

    class Counted(Sheet):
        __hash__ = object.__hash__

        def __init__(self, sheet: Sheet) -> None:
            super().__init__(sheet.name, sheet.choice)

    def done(outcome: Outcome) -> None:
        if outcome.job.name == NAMES[-1]:
            gc.collect()
            assert not alive, "while the last is written, no patient waits and none is with the network"

    segment_all(Counting(), jobs_of(patients, tmp_path), Options(), done=done)
    assert most == AHEAD + 1


class Volume:
    """What may not be held for long."""

    alive: ClassVar[weakref.WeakSet[Volume]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


@pytest.mark.parametrize("where", ["on_read", "on_compute", "on_write"])
def test_a_failure_keeps_its_lines_and_lets_its_volumes_go(where, patients, tmp_path, monkeypatch) -> None:
    """Hundreds may fail, and an error holds whatever the calls held through which it went."""

    def damaged(volume: Volume) -> None:
        raise ValueError("damaged")

    def fail(name: str) -> None:
        own = Volume()
        try:
            damaged(own)
        except ValueError as error:
            raise DataError(f"{name}: bad") from error

    class Large(FalseModel):
        def read(self, images, *, resample=False):
            sheet = super().read(images, resample=resample)
            sheet.volume = Volume()
            return sheet

    class LargeContent(Content):
        @classmethod
        def of(cls, result, options):
            content = Content.of(result, options)
            content.volumes_ml["volume"] = Volume()
            return content

    monkeypatch.setattr(many, "Content", LargeContent)
    if where == "on_write":
        monkeypatch.setattr(many, "write", lambda files, content, *_: fail(files.mask.name))
    model = Large(**{where: fail}) if where != "on_write" else Large()
    outcomes = segment_all(model, jobs_of(patients, tmp_path), Options())
    gc.collect()
    assert len(outcomes) == len(NAMES) and not Volume.alive
    for outcome in outcomes:
        assert isinstance(outcome.error, DataError)
        told = "".join(traceback.format_exception(outcome.error))
        assert "in damaged" in told and "in fail" in told, "--debug shows where"


def test_what_is_finished_is_kept_and_what_is_in_the_way_fails(patients, tmp_path) -> None:
    jobs = jobs_of(patients, tmp_path)
    segment_all(FalseModel(), jobs[:2], Options())
    jobs[2].files.mask.write_text("mine")
    computed: list[str] = []
    outcomes = segment_all(FalseModel(on_compute=computed.append), jobs, Options())
    assert [outcome.kept for outcome in outcomes] == [True, True, *[False] * 4]
    assert outcomes[0].facts is not None and outcomes[0].facts["mask_sha256"] == sha256(jobs[0].files.mask)
    assert "--overwrite" in str(outcomes[2].error) and jobs[2].files.mask.read_text() == "mine"
    assert computed == list(NAMES[3:])
    outcomes = segment_all(FalseModel(on_compute=computed.append), jobs, Options(), overwrite=True)
    assert not any(outcome.kept or outcome.error for outcome in outcomes) and computed[3:] == list(NAMES)


def interrupt(name: str) -> None:
    """A signal at the third patient, which raises in the main thread, whatever thread it comes in."""
    if name == "cora":
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.05)


def interrupt_writer(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write, replace = many.write, Path.replace

    def interrupted_write(files, *rest):
        interrupt(files.mask.name.split(".")[0])
        return write(files, *rest)

    def interrupted_replace(self: Path, target: Path) -> Path:
        moved = replace(self, target)
        interrupt(target.name.removesuffix("_probabilities.nii.gz"))
        return moved

    if where == "on_write":
        monkeypatch.setattr(many, "write", interrupted_write)
    if where == "on_rename":
        monkeypatch.setattr(Path, "replace", interrupted_replace)


@pytest.mark.parametrize("where", ["on_read", "on_compute", "on_write", "on_rename", "done"])
def test_an_interruption_leaves_whole_patients(where, patients, tmp_path, monkeypatch) -> None:
    interrupt_writer(where, monkeypatch)
    model = FalseModel(**{where: interrupt}) if where in ("on_read", "on_compute") else FalseModel()
    done = (lambda outcome: interrupt(outcome.job.name)) if where == "done" else None
    with pytest.raises(KeyboardInterrupt):
        segment_all(model, jobs_of(patients, tmp_path), Options(probabilities=True), done=done)
    time.sleep(0.1)
    assert not [thread for thread in threading.enumerate() if thread.name in ("reader", "writer")]
    left = contents(tmp_path)
    assert not [name for name in left if ".tmp." in name] and len(left) < 3 * len(NAMES)
    for name in {name.split(".")[0].removesuffix("_probabilities") for name in left}:
        facts = json.loads(left[f"{name}.json"])
        assert facts["mask_sha256"] == sha256(tmp_path / f"{name}.nii.gz")
        assert facts["probabilities_sha256"] == sha256(tmp_path / f"{name}_probabilities.nii.gz")


def hanging(where: str, mark: Path) -> None:
    """Have a thread of this process hang, which it marks by a file."""

    def hang(name: str) -> None:
        if name == "bela":
            mark.touch()
            time.sleep(600)

    many.GRACE_S = 0.3
    Model.load = classmethod(lambda *_: FalseModel(**{where: hang}))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["on_read", "on_compute"])
def test_a_signal_ends_the_command_though_a_thread_hangs(where, number, patients, tmp_path) -> None:
    source = next(iter(patients["anna"].values())).path.parents[1]
    mark = tmp_path / "hangs"
    process = Begun("predict", "any", "--folder", source, "-o", tmp_path / "out", first=partial(hanging, where, mark))
    try:
        while process.poll() is None and not mark.exists():
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(number)
        # A tenth of the time that the thread hangs, which a busy machine does not take.
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number, said
    assert said.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if ".tmp." in path.name]
