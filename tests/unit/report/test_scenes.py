"""Cases for the viewer: chosen from hard to easy or by name, from this cohort alone, with the masks that are there."""

from dataclasses import replace

import numpy as np
import pytest
from measured import rows

from limbeck.anatomy import Modality, Subset
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.grid import Grid
from limbeck.data.importers import detect_layout
from limbeck.data.volume import read_volume, write_labels
from limbeck.errors import DataError, UsageError
from limbeck.evaluation.masks import MaskFolder
from limbeck.evaluation.table import Row
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.report.scenes import choose, gather

SPREAD = rows({("gkd", "flair"): {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.3, "e": 0.7}})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    folder = tmp_path_factory.mktemp("scenes")
    source = folder / "phantoms"
    write_phantoms(source, 2, seed=0, spacing_mm=6.0)
    importer, _ = detect_layout(source)
    return import_cohort(
        importer.find(source),
        folder / "cohort",
        spacing_mm=6.0,
        scheme=importer.scheme(source),
        layout=importer.name,
        source=source,
    )


@pytest.fixture
def results(cohort) -> list[Row]:
    values = {case.id: 0.25 * number for number, case in enumerate(cohort.cases, 1)}
    return rows({("gkd", "flair"): values, ("supervised", "flair"): values}, data=cohort.hash)


def keep_mask(folder, cohort, run, case, subset="flair") -> np.ndarray:
    labels, grid = cohort.case(case).reference()
    labels = np.roll(labels, 2, axis=0)
    write_labels(folder / run / f"{case}_{subset}.nii.gz", labels, grid, "brats2024")
    return labels


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("1", ["c"]), ("2", ["b", "a"]), ("3", ["b", "c", "a"]), ("99", ["b", "d", "c", "e", "a"]), ("e, a", ["e", "a"])],
)
def test_cases_are_chosen_from_hard_to_easy_or_by_name(wanted, found):
    assert choose(SPREAD, wanted) == found


@pytest.mark.parametrize(("wanted", "told"), [("0", "at least 1"), ("-1", "at least 1"), ("a,x", "'x' is not in")])
def test_cases_that_cannot_be_chosen_are_named(wanted, told):
    with pytest.raises(UsageError, match=told):
        choose(SPREAD, wanted)


def test_a_case_that_is_called_by_a_number_is_found_by_name():
    found = rows({("gkd", "flair"): {"7": 0.5, "8": 0.75, "9": 0.25}})
    assert choose(found, "8") == ["8"]


def test_masks_of_another_cohort_are_not_shown_under_these_scores(tmp_path, cohort, results):
    keep_mask(tmp_path, cohort, "gkd-flair", cohort.cases[0].id)
    MaskFolder(tmp_path / "gkd-flair").begin({"cohort": cohort.hash, "protocol": "strict-1"})
    assert gather(results, cohort, tmp_path, cohort.cases[0].id)[0].masks
    MaskFolder(tmp_path / "gkd-flair").begin({"cohort": "f" * 64, "protocol": "strict-1"})
    with pytest.raises(DataError, match="holds masks of another cohort"):
        gather(results, cohort, tmp_path, cohort.cases[0].id)


def test_a_mask_has_the_scores_of_its_own_protocol(tmp_path, cohort, results):
    case = cohort.cases[0].id
    keep_mask(tmp_path, cohort, "gkd-flair", case)
    MaskFolder(tmp_path / "gkd-flair").begin({"cohort": cohort.hash, "protocol": "strict-1"})
    published = [replace(row, protocol="gkd-as-published-1", value=0.125) for row in results]
    for both in ([*results, *published], [*published, *results]):
        (scene,) = gather(both, cohort, tmp_path, case)
        assert [mask.dice["WT"] for mask in scene.masks] == [0.25]


def test_scenes_hold_scans_references_and_the_masks_that_are_there(tmp_path, cohort, results):
    name = cohort.cases[0].id
    labels = keep_mask(tmp_path, cohort, "gkd-flair", name)
    scene, other = gather(results, cohort, tmp_path, "2")
    assert (scene.case, other.case) == (name, cohort.cases[1].id)
    case = cohort.case(name)
    assert list(scene.images) == ["flair", "t1", "t1ce", "t2"]
    for modality in Modality:
        assert np.array_equal(scene.images[modality.role], read_volume(case.source(modality))[0])
    assert np.array_equal(scene.reference, case.reference()[0])
    assert np.array_equal(scene.affine, case.reference()[1].affine)
    (mask,) = scene.masks
    assert (mask.run, mask.label, mask.subset) == ("gkd-flair", "gkd", "flair")
    assert mask.dice == {"WT": 0.25, "TC": 0.25, "ET": 0.25}
    assert np.array_equal(mask.labels, labels)
    assert list(other.masks) == []


def test_baselines_come_first_and_seeds_are_told_apart(tmp_path, cohort, results):
    name = cohort.cases[0].id
    second = [replace(row, run="gkd-again", seed=1) for row in results if row.method == "gkd"]
    for run in ("gkd-flair", "gkd-again", "supervised-flair"):
        keep_mask(tmp_path, cohort, run, name)
    (scene,) = gather([*second, *results], cohort, tmp_path, name)
    assert [mask.label for mask in scene.masks] == ["supervised", "gkd, seed 0", "gkd, seed 1"]


def test_every_run_of_a_case_can_be_chosen_by_itself(tmp_path, cohort, results):
    # An external cohort: each fold's run has scored every case, and one run more has no fold or seed of its own.
    name = cohort.cases[0].id
    ours = [row for row in results if row.method == "gkd"]
    folds = [replace(row, run=f"gkd-f{fold}", fold=fold) for fold in (0, 1) for row in ours]
    again = [replace(row, run="gkd-again", fold=1) for row in ours]
    for run in ("gkd-f0", "gkd-f1", "gkd-again"):
        keep_mask(tmp_path, cohort, run, name)
    (scene,) = gather(folds, cohort, tmp_path, name)
    assert [(mask.run, mask.label) for mask in scene.masks] == [("gkd-f0", "gkd, fold 0"), ("gkd-f1", "gkd, fold 1")]
    (scene,) = gather([*folds, *again], cohort, tmp_path, name)
    assert [mask.label for mask in scene.masks] == ["gkd, fold 0", "gkd, fold 1, gkd-again", "gkd, fold 1, gkd-f1"]


def test_runs_for_a_subset_each_are_one_choice(tmp_path, cohort, results):
    name = cohort.cases[0].id
    ours = [row for row in results if row.method == "gkd"]
    others = [replace(row, run="gkd-t1", subset=Subset.parse("t1")) for row in ours]
    keep_mask(tmp_path, cohort, "gkd-flair", name)
    keep_mask(tmp_path, cohort, "gkd-t1", name, "t1")
    (scene,) = gather([*others, *ours], cohort, tmp_path, name)
    assert [(mask.label, mask.subset) for mask in scene.masks] == [("gkd", "flair"), ("gkd", "t1")]


def test_results_with_the_slice_mean_alone_can_be_looked_at(tmp_path, cohort, results):
    legacy = [replace(row, metric="legacy_slice_mean") for row in SPREAD]
    assert choose(legacy, "3") == choose(SPREAD, "3")
    name = cohort.cases[0].id
    keep_mask(tmp_path, cohort, "gkd-flair", name)
    (scene,) = gather([replace(row, metric="legacy_slice_mean") for row in results], cohort, tmp_path, name)
    assert [(mask.measure, mask.dice["WT"]) for mask in scene.masks] == [("slice mean", 0.25)]


def test_without_masks_scan_and_reference_can_be_looked_at(cohort, results):
    assert [list(scene.masks) for scene in gather(results, cohort, None, "2")] == [[], []]


def test_results_of_other_data_are_refused(cohort, results):
    with pytest.raises(DataError, match="were measured on cohort 0123"):
        gather([replace(row, data="0123") for row in results], cohort, None)


def test_a_folder_without_a_mask_of_these_cases_is_an_error(tmp_path, cohort, results):
    with pytest.raises(DataError, match="holds no mask"):
        gather(results, cohort, tmp_path)


def test_a_damaged_mask_is_named(tmp_path, cohort, results):
    (tmp_path / "gkd-flair").mkdir()
    (tmp_path / "gkd-flair" / f"{cohort.cases[0].id}_flair.nii.gz").write_bytes(b"no mask")
    with pytest.raises(DataError, match=r"_flair\.nii\.gz"):
        gather(results, cohort, tmp_path)


def test_a_mask_on_another_grid_is_named(tmp_path, cohort, results):
    case = cohort.cases[0]
    labels, grid = case.reference()
    moved = Grid.of(labels.shape, grid.affine + np.diag([0.5, 0, 0, 0]))
    write_labels(tmp_path / "gkd-flair" / f"{case.id}_flair.nii.gz", labels, moved, "brats2024")
    with pytest.raises(DataError, match=rf"{case.id}_flair\.nii\.gz: .*compared with the scan of {case.id}"):
        gather(results, cohort, tmp_path)
