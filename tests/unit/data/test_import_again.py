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


def test_scans_that_lie_where_the_cases_go_are_left_alone(tmp_path, phantoms):
    """`study/cases/P001/P001_flair.nii.gz ...` with `--out study`: once, the cohort took the place of the scans."""
    study = tmp_path / "study"
    for name in ("P001", "P002"):
        phantoms.brats_case(study / "cases", name)
    (tmp_path / "linked").symlink_to(study / "cases")
    before = tree(study)
    for source in (study / "cases", study / "cases" / "P001", tmp_path / "linked"):
        with pytest.raises(UsageError, match=r"P001_flair\.nii\.gz: lies in .*study, where .*: import to a new folder"):
            run(source, study)
    # Links elsewhere that lead there, and links there that lead elsewhere.
    phantoms.brats_case(tmp_path / "links", "P001", roles=("t1",), segmented=False)
    (tmp_path / "links" / "P001" / "P001_t2.nii.gz").symlink_to(study / "cases" / "P001" / "P001_t2.nii.gz")
    with pytest.raises(UsageError, match=r"P001_t2\.nii\.gz: lies in"):
        run(tmp_path / "links", study)
    assert tree(study) == before


@pytest.mark.parametrize("record", [None, "{}", "damaged"])
def test_a_strangers_folder_under_a_cases_name_is_left_alone(brats, tmp_path, record):
    out = tmp_path / "study"
    mine = out / "cases" / "Brats18_P1_1"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("mine")
    if record is not None:
        (mine / "case.json").write_text(record)
    before = tree(out)
    with pytest.raises(UsageError, match=r"holds cases/Brats18_P1_1 and is no cohort: import to a new folder"):
        run(brats, out)
    assert tree(out) == before


def test_a_strangers_folder_in_the_place_of_a_case_that_was_left_out_is_left_alone(brats, tmp_path):
    bad = brats / "HGG" / "Brats18_P1_1" / "Brats18_P1_1_t1.nii.gz"
    whole = bad.read_bytes()
    bad.write_bytes(b"nothing")
    run(brats, tmp_path / "cohort", skip_bad=True)
    mine = tmp_path / "cohort" / "cases" / "Brats18_P1_1"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    bad.write_bytes(whole)
    before = tree(tmp_path / "cohort")
    with pytest.raises(UsageError, match=r"holds cases/Brats18_P1_1, which no import wrote"):
        run(brats, tmp_path / "cohort")
    assert tree(tmp_path / "cohort") == before


def test_a_case_of_the_cohort_is_mended_even_without_its_record(brats, tmp_path):
    first = run(brats, tmp_path / "cohort")
    for name, damage in (("Brats18_P1_1", None), ("Brats18_P3_1", "{")):
        record = tmp_path / "cohort" / "cases" / name / "case.json"
        record.unlink() if damage is None else record.write_text(damage)
    assert run(brats, tmp_path / "cohort").hash == first.hash
    Cohort.open(tmp_path / "cohort").verify()


def test_a_case_whose_file_has_a_name_that_no_system_takes_by_now_is_bad(tmp_path, phantoms):
    phantoms.brats_case(tmp_path, "P", segmented=False)
    for cell in ("P/P_t1.nii.gz", "x" * 300 + ".nii.gz"):
        (tmp_path / "cases.csv").write_text(f"case,t1\nP,{cell}\n")
        if cell.startswith("P"):
            run(tmp_path / "cases.csv", tmp_path / "cohort")
    with pytest.raises(DataError, match="File name too long"):
        run(tmp_path / "cases.csv", tmp_path / "cohort")
    Cohort.open(tmp_path / "cohort").verify()
