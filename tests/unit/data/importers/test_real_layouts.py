"""Real patients in their own layouts and, by links, in every other: whatever the layout, the same arrays come out."""

import json
import os
from pathlib import Path

import pytest

from limbeck.anatomy import Modality
from limbeck.data.cohort import import_cohort
from limbeck.data.cohort_case import content_hash
from limbeck.data.importers import detect_layout
from limbeck.errors import DataError

REAL = os.environ.get("LIMBECK_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL, reason="LIMBECK_REAL_DATA does not name the folder of the real cases")
LATER = {Modality.FLAIR: "t2f", Modality.T1: "t1n", Modality.T1CE: "t1c", Modality.T2: "t2w"}
WORDS = {Modality.FLAIR: "FLAIR", Modality.T1: "T1w", Modality.T1CE: "ce-gadolinium_T1w", Modality.T2: "T2w"}


def originals():
    """The three patients with a file for each sequence; the Decathlon's four are in one file."""
    cases = [case for name in ("BraTS2018", "BraTS2021") for case in found(Path(REAL) / name)[1]]
    assert len(cases) == 3
    return cases


def found(source):
    importer, _ = detect_layout(source)
    return importer, importer.find(source)


def link(path, source):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(source.path)


def contents(source, out, scheme=None):
    """A hash of each case's content, without its name and the sample that is drawn by it, in the order of names."""
    importer, cases = found(source)
    scheme = scheme or importer.codes(source, cases).scheme
    cohort = import_cohort(cases, out, scheme=scheme, layout=importer.name, source=source, workers=1)
    assert all(case.present == (True,) * 4 and case.segmented for case in cohort.cases)
    return importer.name, [anonymous(case.record) for case in cohort.cases]


def anonymous(record):
    files = {name: value for name, value in record["files"].items() if name != "foreground.npy"}
    return content_hash({**record, "id": "", "patient": "", "files": files})


def as_brats2020(folder):
    for number, case in enumerate(originals()):
        name = f"BraTS20_Training_{number:03d}"
        for modality, source in case.images.items():
            link(folder / name / f"{name}_{modality.role}.nii.gz", source)
        link(folder / name / f"{name}_seg.nii.gz", case.labels)
    return folder


def as_brats2023(folder):
    for number, case in enumerate(originals()):
        name = f"BraTS-GLI-{number:05d}-000"
        for modality, source in case.images.items():
            link(folder / name / f"{name}-{LATER[modality]}.nii.gz", source)
        link(folder / name / f"{name}-seg.nii.gz", case.labels)
    return folder


def as_nnunet(folder):
    for number, case in enumerate(originals()):
        for modality, source in case.images.items():
            link(folder / "imagesTr" / f"case_{number}_{int(modality):04d}.nii.gz", source)
        link(folder / "labelsTr" / f"case_{number}.nii.gz", case.labels)
    channels = {str(int(modality)): modality.name for modality in Modality}
    labels = {"background": 0, "necrosis": 1, "edema": 2, "enhancing tumor": 4}
    (folder / "dataset.json").write_text(json.dumps({"channel_names": channels, "labels": labels}))
    return folder


def as_bids(folder):
    for number, case in enumerate(originals()):
        name = f"sub-{number}"
        for modality, source in case.images.items():
            link(folder / name / "anat" / f"{name}_{WORDS[modality]}.nii.gz", source)
        link(folder / "derivatives" / "manual" / name / "anat" / f"{name}_dseg.nii.gz", case.labels)
    return folder


def as_table(folder):
    folder.mkdir()
    lines = ["case,flair,t1,t1ce,t2,seg"]
    for number, case in enumerate(originals()):
        paths = [case.images[modality].path for modality in Modality]
        lines.append(",".join([str(number), *map(str, paths), str(case.labels.path)]))
    (folder / "cases.csv").write_text("\n".join(lines))
    return folder / "cases.csv"


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the cases hold when they are imported from where they lie."""
    out = tmp_path_factory.mktemp("own")
    held = [contents(Path(REAL) / name, out / name)[1] for name in ("BraTS2018", "BraTS2021", "Task01_BrainTumour")]
    assert [len(hashes) for hashes in held] == [1, 2, 1]
    return held[0] + held[1]


@pytest.mark.parametrize(
    ("lay", "layout"), [(as_brats2020, "brats"), (as_nnunet, "nnunet"), (as_bids, "bids"), (as_table, "table")]
)
def test_every_layout_gives_the_same_arrays(tmp_path, expected, lay, layout):
    assert contents(lay(tmp_path / "source"), tmp_path / "cohort") == (layout, expected)


def test_names_of_another_year_than_the_codes_are_noticed(tmp_path, expected):
    source = as_brats2023(tmp_path / "source")
    with pytest.raises(DataError, match=r"contradict: names such as t1c, .*4 in .*--labels brats2018"):
        contents(source, tmp_path / "refused")
    assert contents(source, tmp_path / "cohort", "brats2018") == ("brats", expected)
