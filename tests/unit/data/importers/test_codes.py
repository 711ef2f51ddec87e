import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data.case import Case, Source
from limbeck.data.importers.codes import Naming, settle
from limbeck.errors import DataError

EARLY, LATE, SILENT = Naming("brats2018", "early"), Naming("brats2023", "late"), Naming("", "silent")


def cases_of(folder, phantoms, files):
    """A case for each set of codes: what canonical 1 (inside), 2 (outside) and 3 (between) are called."""
    _, labels = phantoms.head()
    cases = []
    for number, codes in enumerate(files):
        path = phantoms.save(folder / f"seg{number}.nii.gz", np.array([0, *codes], np.uint8)[labels])
        cases.append(Case(f"c{number}", "p", {Modality.T1: Source(path)}, Source(path)))
    return cases


@pytest.mark.parametrize(
    ("naming", "files", "expected"),
    [
        (EARLY, [(1, 2, 4)], "brats2018"),
        # A patient without enhancing tumour proves nothing.
        (EARLY, [(1, 2, 1), (1, 2, 4)], "brats2018"),
        (EARLY, [(1, 2, 1)], "brats2018"),
        (EARLY, [(0, 0, 0)], "brats2018"),
        (EARLY, [(1, 2, 3)], "brats2023"),
        # nnU-Net's order under BraTS's names: what lies around the rest is oedema.
        (EARLY, [(2, 1, 3)] * 4, "msd"),
        (LATE, [(1, 2, 3)], "brats2023"),
        (LATE, [(1, 2, 1)], "brats2023"),
        (LATE, [(4, 2, 3)], "brats2024"),
        (LATE, [(1, 2, 3), (4, 2, 0)], "brats2024"),
        (SILENT, [(1, 2, 4)], "brats2018"),
        (SILENT, [(1, 2, 3)], "brats2023"),
        (SILENT, [(2, 1, 3)], "msd"),
        (SILENT, [(4, 2, 3)], "brats2024"),
        (SILENT, [(1, 2, 1)], "brats2018"),
        (SILENT, [(2, 1, 2)], "msd"),
        (SILENT, [(0, 0, 0)], "brats2018"),
        # Three of four agree, and a majority of three quarters is asked for.
        (SILENT, [(1, 2, 3)] * 3 + [(2, 1, 3)], "brats2023"),
    ],
)
def test_names_first_and_then_the_segmentations(tmp_path, phantoms, naming, files, expected):
    codes = settle(naming, cases_of(tmp_path, phantoms, files), tmp_path)
    assert codes.scheme == expected
    assert naming.why in codes.why
    looked = f"all {len(files)} segmentations" if len(files) > 1 else "the one segmentation"
    assert f"{looked} looked at" in codes.why


@pytest.mark.parametrize(
    ("naming", "files", "told"),
    [
        (EARLY, [(1, 2, 3), (1, 2, 4)], ("3 in seg0.nii.gz", "4 in seg1.nii.gz")),
        (EARLY, [(4, 2, 3)], ("3 in seg0.nii.gz", "4 in seg0.nii.gz")),
        # Names since 2023, but so many files without a 3 look as if 4 were the enhancing tumour.
        (LATE, [(1, 2, 4)], ("4 in seg0.nii.gz",)),
        (LATE, [(4, 2, 0), (1, 2, 1)], ("4 in seg0.nii.gz",)),
        (LATE, [(1, 2, 4)] * 5, ("4 in seg0.nii.gz, seg1.nii.gz, seg2.nii.gz and 2 more",)),
        (SILENT, [(1, 2, 3), (1, 2, 4)], ("3 in seg0.nii.gz", "4 in seg1.nii.gz")),
    ],
)
def test_contradictions_name_the_files_and_the_choices(tmp_path, phantoms, naming, files, told):
    with pytest.raises(DataError, match="contradict") as caught:
        settle(naming, cases_of(tmp_path, phantoms, files), tmp_path)
    text = str(caught.value)
    assert all(part in text for part in (*told, naming.why, "--labels", "brats2018", "brats2023", "brats2024"))
    assert "\n" not in text


def test_what_is_open_is_asked(tmp_path, phantoms):
    with pytest.raises(DataError, match=r"1 is necrotic core or oedema: choose with --labels brats2023 .* msd"):
        settle(SILENT, cases_of(tmp_path, phantoms, [(1, 2, 3), (2, 1, 3)]), tmp_path)
    codes = settle(EARLY, cases_of(tmp_path, phantoms, [(1, 2, 3), (2, 1, 3)]), tmp_path)
    assert codes.scheme == "brats2023"


def test_a_manifest_is_believed_without_a_look(tmp_path):
    lost = Source(tmp_path / "lost.nii.gz")
    codes = settle(Naming("msd", "as told", certain=True), [Case("c", "p", {Modality.T1: lost}, lost)], tmp_path)
    assert (codes.scheme, codes.why) == ("msd", "as told")


def test_no_segmentations(tmp_path):
    case = Case("c", "p", {Modality.T1: Source(tmp_path / "x.nii.gz")})
    assert settle(SILENT, [case], tmp_path).why == "there are no segmentations"
    assert settle(LATE, [case], tmp_path).scheme == "brats2023"


def test_what_cannot_be_read_is_left_for_the_import(tmp_path, phantoms):
    cases = cases_of(tmp_path, phantoms, [(1, 2, 3), (1, 2, 7), (1, 2, 3)])
    (tmp_path / "seg2.nii.gz").write_bytes(b"nothing")
    codes = settle(LATE, cases, tmp_path)
    assert codes.scheme == "brats2023"
    assert "all 3 segmentations looked at, 2 in vain" in codes.why


def test_of_many_segmentations_forty_are_looked_at_spread_evenly(tmp_path, phantoms, monkeypatch):
    (case,) = cases_of(tmp_path, phantoms, [(1, 2, 4)])
    looked = []

    def read(source, scheme):
        looked.append(source.channel)
        return np.ones((2, 2, 2), np.uint8), None

    monkeypatch.setattr("limbeck.data.volume.read_labels", read)
    many = [Case(f"c{n}", "p", case.images, Source(case.labels.path, n)) for n in range(1000)]
    assert "40 of 1000 segmentations looked at" in settle(EARLY, many, tmp_path).why
    assert (len(looked), looked[0], looked[-1]) == (40, 0, 999)
    assert set(np.diff(looked)) <= {25, 26}
