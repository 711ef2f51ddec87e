"""An import goes on after any end of the one before, alone, and a folder with a manifest is whole at any moment."""

import os

import pytest
from importing import run, tree

from limbeck.data import cohort as cohorts
from limbeck.data.cohort import Cohort
from limbeck.errors import DataError, UsageError
from limbeck.lock import held
from limbeck.normalisation import Normalisation


def test_running_again_keeps_what_is_finished(brats, tmp_path):
    first = run(brats, tmp_path / "cohort")
    before = tree(tmp_path / "cohort" / "cases")
    assert run(brats, tmp_path / "cohort").hash == first.hash
    assert tree(tmp_path / "cohort" / "cases") == before
    damaged = tmp_path / "cohort" / "cases" / "Brats18_P3_1" / "t2.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match=r"Brats18_P3_1/t2\.npy: damaged"):
        first.verify()
    assert run(brats, tmp_path / "cohort").hash == first.hash
    Cohort.open(tmp_path / "cohort").verify()
    changed = {path.parts[0] for path, when in tree(tmp_path / "cohort" / "cases").items() if before[path] != when}
    assert changed == {"Brats18_P3_1"}


def test_an_interrupted_import_goes_on(brats, tmp_path):
    class Stop(Exception):
        pass

    def stop(done, total):
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        run(brats, tmp_path / "cohort", progress=stop)
    with pytest.raises(DataError):
        Cohort.open(tmp_path / "cohort")
    staged = tree(tmp_path / "cohort" / ".staging")
    assert len({path.parts[0] for path in staged}) == 3
    cohort = run(brats, tmp_path / "cohort")
    kept = tree(tmp_path / "cohort" / "cases")
    assert all(kept[path] == when for path, when in staged.items())
    assert cohort.hash == run(brats, tmp_path / "fresh").hash


def test_an_import_that_was_killed_while_it_wrote_the_manifest_goes_on(brats, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(path, content):
        # As `durable` names what it has in hand.
        path.with_name(f".0123456789ab.tmp.{path.name}").write_text("{")
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(cohorts, "write_json", killed)
        run(brats, tmp_path / "cohort")
    assert run(brats, tmp_path / "cohort").hash == run(brats, tmp_path / "fresh").hash
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".mine").touch()
    with pytest.raises(UsageError, match=r"holds \.mine"):
        run(brats, tmp_path / "other")


def test_a_cohort_whose_cases_are_being_replaced_is_none(brats, tmp_path, phantoms, monkeypatch):
    class Killed(BaseException):
        pass

    def settle(job, settled=[]):  # noqa: B006 - counts
        if settled:
            raise Killed
        settled.append(job)
        return whole(job)

    run(brats, tmp_path / "cohort")
    (tmp_path / "cohort" / "splits.json").write_text("{}")
    for patient in (1, 3):
        phantoms.brats_case(brats / "HGG", f"Brats18_P{patient}_1", seed=90 + patient)
    whole = cohorts._settle
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(cohorts, "_settle", settle)
        run(brats, tmp_path / "cohort")
    with pytest.raises(DataError, match="expected a cohort"):
        Cohort.open(tmp_path / "cohort")
    again = run(brats, tmp_path / "cohort")
    again.verify()
    assert again.hash == run(brats, tmp_path / "fresh").hash


def test_a_manifest_stays_where_no_case_changes(brats, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(path, content):
        raise Killed

    run(brats, tmp_path / "cohort")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(cohorts, "write_json", killed)
        run(brats, tmp_path / "cohort")
    Cohort.open(tmp_path / "cohort").verify()


def test_one_process_imports_to_a_folder(brats, tmp_path):
    def second(done, total):
        before = tree(tmp_path / "cohort")
        with pytest.raises(UsageError, match=f"process {os.getpid()} imports to it") as refused:
            run(brats, tmp_path / "cohort")
        assert "\n" not in str(refused.value)
        assert tree(tmp_path / "cohort") == before

    first = run(brats, tmp_path / "cohort", progress=second)
    assert run(brats, tmp_path / "cohort").hash == first.hash


def test_another_import_that_was_faster_is_not_written_over(brats, tmp_path, monkeypatch):
    def faster(path):
        with monkeypatch.context() as patch:
            patch.setattr(cohorts, "held", held)
            run(brats, tmp_path / "cohort", spacing_mm=2.0)
        return held(path)

    monkeypatch.setattr(cohorts, "held", faster)
    with pytest.raises(UsageError, match=r"spacing_mm 2\.0, not 1\.0"):
        run(brats, tmp_path / "cohort")


def test_a_changed_file_is_imported_again(brats, tmp_path, phantoms):
    first = run(brats, tmp_path / "cohort")
    phantoms.brats_case(brats / "HGG", "Brats18_P1_1", seed=99)
    again = run(brats, tmp_path / "cohort")
    assert again.hash != first.hash
    assert again.hash == run(brats, tmp_path / "fresh").hash


def test_another_cohort_or_other_files_are_never_overwritten(brats, tmp_path, phantoms):
    run(brats, tmp_path / "cohort")
    before = tree(tmp_path / "cohort")
    with pytest.raises(UsageError, match=r"spacing_mm 1\.0, not 2\.0"):
        run(brats, tmp_path / "cohort", spacing_mm=2.0)
    with pytest.raises(UsageError, match="scheme brats2018"):
        run(brats, tmp_path / "cohort", scheme="brats2023")
    with pytest.raises(UsageError, match="normalisation z-score, not raw"):
        run(brats, tmp_path / "cohort", normalisation=Normalisation.RAW)
    phantoms.brats_case(brats / "HGG", "more")
    with pytest.raises(UsageError, match="other cases"):
        run(brats, tmp_path / "cohort")
    assert tree(tmp_path / "cohort") == before
    with pytest.raises(UsageError, match="holds"):
        run(brats, brats)
