"""What a prediction writes: whole files whose JSON tells the truth about them, at every moment."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from segmenting import GRID, FalseModel, write_patient
from series import write_series

from limbeck.anatomy import LABEL_SCHEMES, Label, Modality, Subset
from limbeck.data.source import Source
from limbeck.durable import sha256
from limbeck.errors import ResourceError, UsageError
from limbeck.inference.files import Content, Files, Options, finished, provenance, write


@pytest.fixture
def scans(tmp_path: Path) -> dict[Modality, Source]:
    return write_patient(tmp_path / "patient", 0)


def made_from(scans, options: Options, model: FalseModel | None = None) -> dict:
    model = model or FalseModel()
    return provenance(model, model.choose(Subset(scans)), scans, options)


PLAIN = Options()


def written(files: Files, scans, options: Options = PLAIN, labels: np.ndarray | None = None) -> dict:
    model = FalseModel()
    result = model.compute(model.read({m.role: source for m, source in scans.items()}))
    content = Content.of(result, options)
    if labels is not None:
        content = Content(labels, content.regions, GRID, content.volumes_ml, ())
    return write(files, content, made_from(scans, options), options, scans)


@pytest.mark.parametrize(
    ("mask", "facts", "probabilities"),
    [
        ("a.nii.gz", "a.json", "a_probabilities.nii.gz"),
        ("a.b.nii", "a.b.json", "a.b_probabilities.nii.gz"),
        ("a.mha", "a.json", "a_probabilities.nii.gz"),
        ("a.dcm", "a.json", "a_probabilities.nii.gz"),
    ],
)
def test_files_lie_beside_the_mask(mask, facts, probabilities) -> None:
    files = Files(Path("x") / mask)
    assert (files.facts, files.probabilities) == (Path("x") / facts, Path("x") / probabilities)


def test_the_json_tells_what_lies_beside_it(scans, tmp_path) -> None:
    files = Files(tmp_path / "mask.nii.gz")
    options = Options(labels="msd", probabilities=True)
    facts = written(files, scans, options)
    assert json.loads(files.facts.read_text()) == facts
    assert facts["mask_sha256"] == sha256(files.mask)
    assert facts["probabilities_sha256"] == sha256(files.probabilities)
    assert facts["sequences"] == "flair" and facts["kind"] == "specialist"
    assert [member["name"] for member in facts["model"]["members"]] == ["one"], "the members that were used alone"
    assert facts["scans_sha256"] == {"flair": sha256(scans[Modality.FLAIR].path)}
    assert facts["options"]["labels"] == "msd"
    codes = np.unique(np.asarray(nib.load(files.mask).dataobj))
    assert {facts["codes"][str(code)] for code in codes} >= {"background", "enhancing"}
    assert facts["codes"] == {str(code): label.name.lower() for code, label in LABEL_SCHEMES["msd"].items()}
    assert set(facts["volumes_ml"]) == {"WT", "TC", "ET"} and facts["volumes_ml"]["ET"] > 0
    assert str(tmp_path) not in files.facts.read_text(), "no place of this machine"


def test_probabilities_lie_over_the_scan(scans, tmp_path) -> None:
    files = Files(tmp_path / "mask.nii.gz")
    written(files, scans, Options(probabilities=True))
    image, scan = nib.load(files.probabilities), nib.load(scans[Modality.FLAIR].path)
    assert image.shape == (*scan.shape, 3) and image.get_data_dtype() == np.float32
    assert np.array_equal(image.affine, scan.affine)
    tumour = np.asarray(image.dataobj)[4, 4, 4]
    assert np.allclose(tumour, (0.9, 0.6, 0.4)), "WT, TC, ET"
    assert not np.asarray(image.dataobj)[0, 0, 0].any()


def test_what_is_finished_is_known_again(scans, tmp_path) -> None:
    files, options = Files(tmp_path / "mask.nii.gz"), Options(probabilities=True)
    assert finished(files, made_from(scans, options)) is None
    facts = written(files, scans, options)
    assert finished(files, made_from(scans, options)) == facts


def test_files_that_will_not_be_used_may_change(scans, tmp_path) -> None:
    files = Files(tmp_path / "mask.nii.gz")
    written(files, scans)
    scans[Modality.T2].path.write_bytes(b"other")
    assert finished(files, made_from(scans, Options()))


def harm_mask(files, scans, model) -> None:
    files.mask.write_bytes(files.mask.read_bytes()[:-1])


def lose_mask(files, scans, model) -> None:
    files.mask.unlink()


def harm_probabilities(files, scans, model) -> None:
    files.probabilities.write_bytes(b"")


def lose_probabilities(files, scans, model) -> None:
    files.probabilities.unlink()


def harm_facts(files, scans, model) -> None:
    files.facts.write_text("[1]")


def change_scan(files, scans, model) -> None:
    write_patient(scans[Modality.FLAIR].path.parent, 1, [Modality.FLAIR])


def train_on(files, scans, model) -> None:
    model.step += 1


@pytest.mark.parametrize(
    "spoil",
    [harm_mask, lose_mask, harm_probabilities, lose_probabilities, harm_facts, change_scan, train_on],
    ids=lambda spoil: spoil.__name__,
)
def test_what_has_changed_since_is_not_finished(spoil, scans, tmp_path) -> None:
    files, options, model = Files(tmp_path / "mask.nii.gz"), Options(probabilities=True), FalseModel()
    written(files, scans, options)
    assert finished(files, made_from(scans, options, model))
    spoil(files, scans, model)
    assert finished(files, made_from(scans, options, model)) is None


@pytest.mark.parametrize(
    "other",
    [
        Options(labels="brats2023"),
        Options(probabilities=True),
        Options(flips=True),
        Options(min_enhancing_mm3=5),
        Options(resample=True),
    ],
)
def test_what_was_made_with_other_options_is_not_finished(other, scans, tmp_path) -> None:
    files = Files(tmp_path / "mask.nii.gz")
    written(files, scans)
    assert finished(files, made_from(scans, Options()))
    assert finished(files, made_from(scans, other)) is None


def test_another_channel_of_the_same_file_is_another_scan(scans) -> None:
    path = scans[Modality.FLAIR].path
    first, second = ({Modality.FLAIR: Source(path, channel)} for channel in (0, 1))
    assert made_from(first, Options()) != made_from(second, Options())


META = (
    "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"
    "Offset = 0 0 0\nElementDataFile = voxels.bin\n"
)
NRRD = (
    "NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nencoding: raw\nspace origin: (0,0,0)\ndata file: voxels.bin\n"
)


@pytest.mark.parametrize(("name", "header"), [("scan.mhd", META), ("scan.nhdr", NRRD), ("series", "")])
def test_every_file_of_a_series_or_of_a_detached_header_counts(name, header, tmp_path) -> None:
    """By what the header says: its voxels may be called anything."""
    place = tmp_path / name
    folder = tmp_path if header else place
    folder.mkdir(exist_ok=True)
    first = place if header else folder / "1"
    first.write_text(header or "one")
    (folder / "voxels.bin").write_bytes(bytes(64))
    scans = {Modality.FLAIR: Source(place)}
    before = made_from(scans, Options())
    (tmp_path / "scan.txt").write_text("notes that are no part of it")
    assert made_from(scans, Options()) == before
    (folder / "voxels.bin").write_bytes(bytes(63) + b"1")
    changed = made_from(scans, Options())
    assert changed != before
    first.write_text(first.read_text() + "\n")
    assert made_from(scans, Options()) not in (before, changed)


def stopped_after(renames: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stop a writer after so many renames; gives the names that were taken."""
    original, taken = Path.replace, []

    def replace(path: Path, target: Path) -> Path:
        # That of the mask which is first written beside its temporary place does not count.
        if not target.name.startswith("."):
            if len(taken) == renames:
                raise KeyboardInterrupt
            taken.append(target.name)
        return original(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    return taken


@pytest.mark.parametrize("renames", range(4))
def test_an_old_json_never_lies_beside_a_new_mask(renames, scans, tmp_path, monkeypatch) -> None:
    """Whichever of the three renames is the last that happens."""
    files, options = Files(tmp_path / "mask.nii.gz"), Options(probabilities=True)
    written(files, scans, options)
    before, labels = sha256(files.mask), np.full(GRID.shape, Label.OEDEMA, np.uint8)
    taken = stopped_after(renames, monkeypatch)
    if renames < 3:
        with pytest.raises(KeyboardInterrupt):
            written(files, scans, options, labels)
        assert not files.facts.exists() and files.mask.exists()
    else:
        written(files, scans, options, labels)
        assert json.loads(files.facts.read_text())["mask_sha256"] == sha256(files.mask) != before
        assert taken == ["mask_probabilities.nii.gz", "mask.nii.gz", "mask.json"]
    assert not [path for path in tmp_path.iterdir() if ".tmp." in path.name]


@pytest.mark.parametrize("renames", range(4))
def test_a_new_mask_never_stands_without_its_json_and_a_killed_one_is_made_again(
    renames, scans, tmp_path, monkeypatch
) -> None:
    files, options = Files(tmp_path / "mask.nii.gz"), Options(probabilities=True)
    with monkeypatch.context() as patch:
        taken = stopped_after(renames, patch)
        if renames < 3:
            with pytest.raises(KeyboardInterrupt):
                written(files, scans, options)
        else:
            written(files, scans, options)
    assert taken == ["mask.json", "mask_probabilities.nii.gz", "mask.nii.gz"][:renames]
    if renames == 3:
        with pytest.raises(UsageError, match="exists: give --overwrite"):
            files.refuse_existing(options)
        return
    # What lies there is ours by what the JSON says, also for a prediction with other options.
    for other in (PLAIN, options):
        files.refuse_existing(other)
        written(files, scans, other)
        assert finished(files, made_from(scans, other))
        assert files.probabilities.exists() == other.probabilities
        files.mask.unlink()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("text", ["mine", "{}", "[" * 100_000, '{"limbeck": "1", "model": "mine"}'])
def test_a_json_or_probabilities_of_somebody_elses_stay(text, overwrite, tmp_path) -> None:
    files = Files(tmp_path / "mask.nii.gz")
    files.facts.write_text(text)
    with pytest.raises(UsageError, match=r"mask\.json exists"):
        files.refuse_existing(PLAIN, overwrite)
    files.facts.unlink()
    files.probabilities.write_text("mine")
    with pytest.raises(UsageError, match=r"probabilities\S* exists"):
        files.refuse_existing(Options(probabilities=True), overwrite)


def test_a_mask_and_what_its_json_names_are_replaced_if_that_is_asked_for(scans, tmp_path) -> None:
    files, options = Files(tmp_path / "mask.nii.gz"), Options(probabilities=True)
    written(files, scans, options)
    files.refuse_existing(options, overwrite=True)
    files.facts.unlink()
    files.probabilities.unlink()
    # A mask of any making, since it was named.
    files.refuse_existing(options, overwrite=True)


def test_a_pipe_in_the_place_of_the_json_is_not_waited_for(tmp_path) -> None:
    files, read = Files(tmp_path / "mask.nii.gz"), []
    os.mkfifo(files.facts)
    # In a thread that ends with the process, should it wait after all.
    reader = threading.Thread(target=lambda: read.append(files.written()), daemon=True)
    reader.start()
    reader.join(5)
    assert read == [{}]


def test_probabilities_that_a_leftover_json_does_not_name_stay(scans, tmp_path) -> None:
    files = Files(tmp_path / "mask.nii.gz")
    written(files, scans)
    files.mask.unlink()
    files.probabilities.write_text("mine")
    files.refuse_existing(PLAIN)
    with pytest.raises(UsageError, match=r"probabilities\S* exists"):
        files.refuse_existing(Options(probabilities=True))


def test_probabilities_of_another_mask_do_not_stay(scans, tmp_path) -> None:
    files = Files(tmp_path / "mask.nii.gz")
    written(files, scans, Options(probabilities=True))
    written(files, scans)
    assert not files.probabilities.exists()
    # A file of somebody else's stays.
    files.probabilities.write_text("mine")
    written(files, scans)
    assert files.probabilities.read_text() == "mine"


def test_a_label_without_a_code_leaves_all_as_it_was(scans, tmp_path) -> None:
    files = Files(tmp_path / "out" / "mask.nii.gz")
    written(files, scans)
    before = {path.name: path.read_bytes() for path in files.mask.parent.iterdir()}
    with pytest.raises(UsageError, match="brats2018 has no code for resection cavity"):
        written(files, scans, labels=np.full(GRID.shape, Label.RESECTION_CAVITY, np.uint8))
    assert {path.name: path.read_bytes() for path in files.mask.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"no space left to write [^.]*/mask\.nii\.gz:"),
        (OSError(errno.EROFS, "Read-only file system"), r"^[^.]*/mask\.nii\.gz cannot be written: Read-only"),
    ],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_nothing_names_the_mask_and_leaves_all_as_it_was(
    error, said, scans, tmp_path, monkeypatch
) -> None:
    files = Files(tmp_path / "out" / "mask.nii.gz")
    written(files, scans)
    before = {path.name: path.read_bytes() for path in files.mask.parent.iterdir()}

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(nib, "save", full)
    with pytest.raises(ResourceError, match=said):
        written(files, scans)
    assert {path.name: path.read_bytes() for path in files.mask.parent.iterdir()} == before


def test_a_mask_that_fits_no_series_is_refused_under_its_own_name(tmp_path) -> None:
    series = tmp_path / "series"
    write_series(series, np.ones((8, 9, 5), np.uint16), np.eye(4))
    files = Files(tmp_path / "mask.dcm")
    content = Content(np.zeros(GRID.shape, np.uint8), None, GRID, {}, ())
    with pytest.raises(UsageError, match=rf"^{re.escape(str(files.mask))}: none of the scans is a DICOM series on"):
        write(files, content, {}, PLAIN, {Modality.T1: Source(series)})
    assert list(tmp_path.iterdir()) == [series]


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_json_of_a_mask_in_another_format_is_not_replaced(overwrite, tmp_path) -> None:
    made = Files(tmp_path / "m.nii.gz")
    made.mask.write_bytes(b"a mask")
    made.facts.write_text('{"limbeck": "1", "model": {}, "mask_sha256": ""}')
    with pytest.raises(UsageError, match=r"m\.json exists"):
        Files(tmp_path / "m.nrrd").refuse_existing(Options(), overwrite)
    made.mask.unlink()
    Files(tmp_path / "m.nrrd").refuse_existing(Options(), overwrite)
