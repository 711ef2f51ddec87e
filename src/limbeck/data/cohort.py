"""A data set as one manifest: cases in model space, the label codes they came in, and checksums.

A cohort is a folder with `cohort.json`, written last, and `cases/<id>/`. Until everything has been read and found good,
cases gather in `.staging`; `cohort.json` goes before a case of another import gives way. So a folder with `cohort.json`
is whole, and one without is no cohort. `import.lock` is held by the process that imports.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.data.case import Case
from limbeck.data.cohort_case import VERSION, CohortCase, content_hash, finished, read_record, write_case
from limbeck.data.pool import each
from limbeck.data.stored import read_object
from limbeck.data.volume import label_scheme
from limbeck.durable import left_behind, sync, write_json
from limbeck.errors import DataError, ResourceError, UsageError, nearest
from limbeck.lock import held, holder
from limbeck.normalisation import Normalisation

__all__ = ["Cohort", "CohortCase", "import_cohort"]

_MANIFEST = "cohort.json"
_CASES = "cases"
_STAGING = ".staging"
_LOCK = "import.lock"
# What an import that was killed may have left or found; `splits` writes the last.
_OURS = (_STAGING, _LOCK, _CASES, "splits.json")
_SAFE_NAME = re.compile(r"\w[\w.+-]*")
_MAX_AXIS = 2**15


@dataclass(frozen=True)
class Cohort:
    """An imported data set.

    Attributes:
        path: its folder.
        layout: the layout it was imported from.
        scheme: the label scheme of its segmentations before they were translated.
        spacing_mm: edge of the voxels that its arrays are sampled with.
        hash: SHA-256 of the content; the same data imported elsewhere by the same versions has the same.
        cases: by name.
        skipped: cases that were left out as bad, and why.
        normalisation: what was done to the intensities of its arrays.
    """

    path: Path
    layout: str
    scheme: str
    spacing_mm: float
    hash: str
    cases: tuple[CohortCase, ...]
    skipped: Mapping[str, str]
    normalisation: Normalisation = Normalisation.Z_SCORE

    @classmethod
    def open(cls, path: Path | str) -> Cohort:
        """The cohort in a folder; files must be there, their content is not read (`verify` does).

        Raises:
            DataError: the folder is missing, no cohort, of another version, or lacks files.
        """
        folder = Path(path)
        manifest = _read_manifest(folder)
        try:
            cases = tuple(_case(folder, entry) for entry in manifest["cases"])
            missing = [
                f"{case.folder / name}: no such file: import the cohort again"
                for case, entry in zip(cases, manifest["cases"], strict=True)
                for name in [*entry["files"], "case.json"]
                if not (case.folder / name).is_file()
            ]
            if missing:
                raise DataError("\n".join(missing))
            return cls(
                folder,
                str(manifest["layout"]),
                str(manifest["scheme"]),
                float(manifest["spacing_mm"]),
                str(manifest["hash"]),
                cases,
                dict(manifest["skipped"]),
                Normalisation(manifest["normalisation"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
            raise DataError(f"{folder / _MANIFEST}: damaged ({error!r:.100}): import the cohort again") from error

    @property
    def patients(self) -> dict[str, str]:
        """Whose each case is, by name."""
        return {case.id: case.patient for case in self.cases}

    def case(self, case_id: str) -> CohortCase:
        """The case of a name.

        Raises:
            DataError: there is none.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        near = nearest(case_id, [case.id for case in self.cases])
        raise DataError(f"{self.path}: no case {case_id!r} among {len(self.cases)}{near}")

    def check_hash(self) -> None:
        """Compare the manifest's hash with what the records of the cases say.

        Raises:
            DataError: it is another, or a record is damaged.
        """
        if _hash([content_hash(case.record) for case in self.cases]) != self.hash:
            raise DataError(f"{self.path / _MANIFEST}: its hash is not that of the cases: import the cohort again")

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            DataError: files are missing or damaged; a line for each.
        """
        if problems := [line for case in self.cases for line in case.problems()]:
            raise DataError("\n".join(problems))
        self.check_hash()


def import_cohort(
    cases: Sequence[Case],
    out: Path,
    *,
    spacing_mm: float = 1.0,
    normalisation: Normalisation = Normalisation.Z_SCORE,
    scheme: str,
    layout: str,
    source: Path,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    skip_bad: bool = False,
) -> Cohort:
    """Read all cases, bring them to model space and write a cohort.

    All cases are read before anything takes its final place, so that every problem is told at once. Run again, it
    keeps what is finished, undamaged, and made from the same files.

    Args:
        cases: what an importer found.
        out: the cohort's folder: new, empty, or left by an earlier import.
        spacing_mm: edge of the model's voxels.
        normalisation: what is done to the intensities.
        scheme: name of the label scheme of the segmentations.
        layout: name of the layout, for the record.
        source: where the data set lies, for the record.
        workers: processes, each with one case in memory; None: one a processor.
        progress: called with cases done and cases in all.
        skip_bad: leave bad cases out and record why, rather than stop.

    Raises:
        DataError: cases are bad (a line for every problem of every case), or there are none.
        UsageError: the folder holds another cohort or other files, scans lie where its cases would, another process
            imports to it, or the scheme is unknown.
        ResourceError: the disk is full or a worker was killed.
    """
    out = Path(out)
    label_scheme(scheme)
    _check_cases(cases, source)
    _check_apart(cases, out)
    made: dict[str, Any] = {"spacing_mm": spacing_mm, "scheme": scheme, "normalisation": normalisation}
    _check_target(out, cases, made)
    with held(out / _LOCK) as alone:
        if not alone:
            raise UsageError(f"{out}: process {holder(out / _LOCK)} imports to it: wait for it, or stop it")
        # Once more, since a process that was faster may have finished meanwhile.
        ours = _check_target(out, cases, made)
        jobs = [_Job(case, out, case.id in ours, **made) for case in sorted(cases, key=lambda case: case.id)]
        problems = _problems(jobs, workers, progress)
        if problems and (not skip_bad or len(problems) == len(jobs)):
            lines = "\n".join(
                f"{case_id}: {line}" for case_id in sorted(problems) for line in problems[case_id].splitlines()
            )
            raise DataError(f"{source}: nothing imported, problems in {len(problems)} of {len(jobs)} cases:\n{lines}")
        origin = {"layout": layout, **made, "source": str(Path(source).absolute())}
        _finish(out, origin, [job for job in jobs if job.case.id not in problems], problems)
        return Cohort.open(out)


@dataclass(frozen=True)
class _Job:
    """One case to import, as it is sent to a worker; `replaces` what an earlier import left of it, if there is any."""

    case: Case
    out: Path
    replaces: bool
    spacing_mm: float
    scheme: str
    normalisation: Normalisation

    @property
    def final(self) -> Path:
        return self.out / _CASES / self.case.id

    @property
    def staged(self) -> Path:
        return self.out / _STAGING / self.case.id

    def done(self, folder: Path) -> bool:
        return finished(self.case, folder, self.spacing_mm, self.scheme, self.normalisation) is not None

    def run(self) -> tuple[str, str]:
        """Stage the case, unless it is there already; its name, and its problems as lines (empty if good)."""
        if self.done(self.final):
            shutil.rmtree(self.staged, ignore_errors=True)
            return self.case.id, ""
        if self.done(self.staged):
            return self.case.id, ""
        partial = self.staged.with_name(f".partial.{self.case.id}")
        for leftover in (partial, self.staged):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            write_case(self.case, partial, self.spacing_mm, self.scheme, self.normalisation)
        except DataError as error:
            return self.case.id, str(error)
        except MemoryError as error:
            raise ResourceError(f"case {self.case.id}: out of memory: import with fewer workers") from error
        partial.rename(self.staged)
        return self.case.id, ""


def _problems(jobs: Sequence[_Job], workers: int | None, progress: Callable[[int, int], None] | None) -> dict[str, str]:
    """Stage every case; the problems of each bad one, as lines."""
    problems: dict[str, str] = {}
    for done, (case_id, problem) in enumerate(each(_Job.run, jobs, workers), start=1):
        problems.update({case_id: problem} if problem else {})
        if progress is not None:
            progress(done, len(jobs))
    return problems


def _finish(out: Path, origin: Mapping[str, Any], jobs: Sequence[_Job], problems: Mapping[str, str]) -> None:
    """Give all that is staged its final place and write the manifest."""
    if any(job.staged.is_dir() for job in jobs):
        _withdraw(out / _MANIFEST)
    entries = [_settle(job) for job in jobs]
    manifest = {
        "version": VERSION,
        **origin,
        "hash": _hash([entry["content"] for entry in entries]),
        "skipped": dict(sorted(problems.items())),
        "cases": entries,
    }
    write_json(out / _MANIFEST, manifest)
    shutil.rmtree(out / _STAGING, ignore_errors=True)


def _withdraw(manifest: Path) -> None:
    """Remove the manifest of an earlier import, for good before anything that it names is replaced."""
    if manifest.exists():
        manifest.unlink()
        sync(manifest.parent)


def _settle(job: _Job) -> dict[str, Any]:
    """Give a staged case its final place; its entry in the manifest."""
    if job.staged.is_dir():
        if job.replaces:
            shutil.rmtree(job.final, ignore_errors=True)
        job.final.parent.mkdir(parents=True, exist_ok=True)
        job.staged.rename(job.final)
    record = read_record(job.final)
    entry = {key: record[key] for key in ("id", "patient", "present", "shape", "files")}
    return {**entry, "content": content_hash(record)}


def _check_cases(cases: Sequence[Case], source: Path) -> None:
    if not cases:
        raise DataError(f"{source}: no cases found")
    if problems := odd_names(cases):
        raise DataError("\n".join(problems))


def odd_names(cases: Sequence[Case]) -> list[str]:
    """A line for each name of a case that no cohort can have: it occurs twice, or is not fit for a folder."""
    counts = Counter(case.id for case in cases)
    odd = [
        f"case {name!r}: not a name for a folder: expected letters, digits and _ . + -, without spaces"
        for name in counts
        if not _SAFE_NAME.fullmatch(name)
    ]
    twice = [
        f"case {name!r} occurs more than once: give each its own name" for name in sorted(counts) if counts[name] > 1
    ]
    return odd + twice


def _check_apart(cases: Sequence[Case], out: Path) -> None:
    """Refuse scans that lie where cases take their place: making room for a case would delete them."""
    homes = {os.path.realpath(out / name) for name in (_CASES, _STAGING)}
    for case in cases:
        for source in (*case.images.values(), *([case.labels] if case.labels else [])):
            if _lies_in(source.path, homes):
                raise UsageError(f"{source}: lies in {out}, where the cohort's cases go: import to a new folder")


def _lies_in(path: Path, folders: Set[str]) -> bool:
    """Whether a file, or the link to it, lies below one of these folders."""
    try:
        real = [Path(os.path.realpath(place)) for place in (path, path.parent)]
    except ValueError:
        # Reading it will tell that this is no path.
        return False
    return any(str(place) in folders for one in real for place in (one, *one.parents))


def _check_target(out: Path, cases: Sequence[Case], wanted: Mapping[str, Any]) -> set[str]:
    """Refuse a folder that holds something else; the names of the cases in it that an import wrote."""
    lying = {path.name for path in (out / _CASES).iterdir()} if (out / _CASES).is_dir() else set[str]()
    if not (out / _MANIFEST).is_file():
        there = [path for path in out.iterdir() if not left_behind(path)] if out.exists() else []
        strangers = [path.name for path in there if path.name not in _OURS]
        strangers += [f"{_CASES}/{name}" for name in sorted(lying) if not _is_ours(out / _CASES / name)]
        if strangers:
            raise UsageError(f"{out}: holds {strangers[0]} and is no cohort: import to a new folder")
        return lying
    ids = {case.id for case in cases}
    manifest = _read_manifest(out)
    for name, value in wanted.items():
        if manifest.get(name) != value:
            raise UsageError(f"{out}: made with {name} {manifest.get(name)}, not {value}: import to a new folder")
    known = {entry["id"] for entry in manifest["cases"]} | set(manifest["skipped"])
    if known != ids:
        example = sorted(known ^ ids)[0]
        raise UsageError(f"{out}: a cohort of other cases ({example} is in one and not in the other): use a new folder")
    # What the manifest names is ours however damaged; a case that was left out may have a stranger's folder by now.
    ours = {entry["id"] for entry in manifest["cases"]}
    ours |= {name for name in lying - ours if _is_ours(out / _CASES / name)}
    strangers = sorted(ids & (lying - ours))
    if strangers:
        raise UsageError(f"{out}: holds {_CASES}/{strangers[0]}, which no import wrote: import to a new folder")
    return ours


def _is_ours(folder: Path) -> bool:
    """Whether an import wrote the folder of a case."""
    try:
        return bool(read_record(folder)["id"] == folder.name)
    except DataError:
        return False


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    manifest = read_object(path, absent="expected a cohort, made by `limbeck import`")
    if manifest.get("version") != VERSION:
        raise DataError(f"{path}: version {manifest.get('version')!r:.20}, expected {VERSION}: import the cohort again")
    cases, skipped = manifest.get("cases"), manifest.get("skipped")
    if not isinstance(skipped, dict) or not isinstance(cases, list) or not all(map(_named, cases)):
        raise DataError(f"{path}: damaged, without names of cases: import the cohort again")
    # Cohorts that do not say so were imported when there was nothing else.
    return {"normalisation": Normalisation.Z_SCORE.value, **manifest}


def _named(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("id"), str)


def _case(folder: Path, entry: Mapping[str, Any]) -> CohortCase:
    flair, t1, t1ce, t2 = (bool(value) for value in entry["present"])
    z, y, x = (int(size) for size in entry["shape"])
    name = str(entry["id"])
    if not _SAFE_NAME.fullmatch(name) or not 0 < min(z, y, x) <= max(z, y, x) <= _MAX_AXIS:
        raise ValueError(f"case {name!r}")
    return CohortCase(folder / _CASES / name, name, str(entry["patient"]), (flair, t1, t1ce, t2), (z, y, x))


def _hash(contents: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()
