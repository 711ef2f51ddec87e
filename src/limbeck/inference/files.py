"""The files of one prediction: the mask, its probabilities if they are asked for, and a JSON that says what made them.

Where no mask lies yet, the mask is the commit mark: it takes its name last, so it never stands without its JSON, and a
JSON alone is what a killed process left. Where a mask is replaced, the old JSON goes first and the new one comes last:
no JSON ever lies beside a mask of another making.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Modality, Region
from limbeck.data.grid import Grid, nifti_header
from limbeck.data.source import Source, shown, stem
from limbeck.data.volume import label_scheme, parts, read_grid, write_labels
from limbeck.durable import replacing, sha256
from limbeck.errors import DataError, ResourceError, UsageError
from limbeck.received import read_json
from limbeck.version import __version__

if TYPE_CHECKING:
    from limbeck.inference.choice import Choice
    from limbeck.inference.model import Model
    from limbeck.inference.postprocess import DropSmallEnhancing
    from limbeck.inference.segmentation import Segmentation

DICOM_SEG = ".dcm"
# What a mask may be called; of these, detached headers are none, since two files cannot take their names at once.
ENDINGS = (".nii.gz", ".nii", ".mha", ".nrrd", DICOM_SEG)


@dataclass(frozen=True)
class Options:
    """What was asked for, as far as it decides what is written.

    Attributes:
        labels: name of the label scheme (`anatomy.LABEL_SCHEMES`) whose codes the mask has.
        probabilities: whether those of the regions are written too.
        flips: whether the mean over mirrored heads is taken.
        min_enhancing_mm3: less enhancing tumour than this becomes necrotic core; 0 leaves all as it is.
        resample: whether sequences on several grids are brought onto one.
    """

    labels: str = "brats2018"
    probabilities: bool = False
    flips: bool = False
    min_enhancing_mm3: float = 0.0
    resample: bool = False

    @property
    def processing(self) -> DropSmallEnhancing | None:
        """The step after the network, if there is one."""
        if not self.min_enhancing_mm3:
            return None
        # Imported here, since it needs torch: what is refused is refused at once.
        from limbeck.inference.postprocess import DropSmallEnhancing  # noqa: PLC0415

        return DropSmallEnhancing(self.min_enhancing_mm3)


@dataclass(frozen=True)
class Files:
    """Where a prediction is written, by the place of its mask."""

    mask: Path

    @property
    def facts(self) -> Path:
        """The JSON beside the mask."""
        return self.mask.with_name(f"{self._stem}.json")

    @property
    def probabilities(self) -> Path:
        """The regions' probabilities beside the mask."""
        return self.mask.with_name(f"{self._stem}_probabilities.nii.gz")

    def wanted(self, options: Options) -> tuple[Path, ...]:
        """All files that these options lead to."""
        return (self.mask, self.facts, *((self.probabilities,) if options.probabilities else ()))

    def refuse_existing(self, options: Options, overwrite: bool = False) -> None:
        """Keep what lies there, but for what a killed process left before its mask took its name.

        Args:
            options: what will be written.
            overwrite: whether the mask may be replaced, and what its JSON says is ours.

        Raises:
            UsageError: one of the files exists, or would be taken from a mask in another format.
        """
        others = [mask for mask in self._masks() if mask != self.mask and mask.exists()]
        ours = () if others else self._leftovers()
        if overwrite:
            ours = (self.mask, *ours)
        elif self.mask.exists():
            ours = ()
        for path in self.wanted(options):
            if path.exists() and path not in ours:
                way = "give --overwrite to replace it"
                if overwrite:
                    way = f"it is not of {shown(self.mask)}: give another name"
                raise UsageError(f"{shown(path)} exists: {way}")

    def written(self) -> dict[str, Any]:
        """The JSON, if it is one of ours; else nothing."""
        try:
            facts = read_json(self.facts, links=True)
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) and {"limbeck", "model", "mask_sha256"} <= facts.keys() else {}

    def _masks(self) -> tuple[Path, ...]:
        """The mask, and masks in other formats that would have the same JSON."""
        return tuple(self.mask.with_name(f"{self._stem}{ending}") for ending in ENDINGS)

    def _leftovers(self) -> tuple[Path, ...]:
        """What is ours by what the JSON says."""
        facts = self.written()
        named = (self.probabilities,) if "probabilities_sha256" in facts else ()
        return (self.facts, *named) if facts else ()

    @property
    def _stem(self) -> str:
        return stem(self.mask).removesuffix(DICOM_SEG)


@dataclass(frozen=True)
class Content:
    """What is written of a segmentation; the scores, many times as large, are let go.

    Attributes:
        labels: `[X,Y,Z]` uint8, codes of `anatomy.Label`.
        regions: `[3,X,Y,Z]` float32, probabilities of WT, TC and ET; None if they are not asked for.
        grid: where the voxels lie.
        volumes_ml: volume of each region in millilitres.
        warnings: a line each.
    """

    labels: NDArray[np.uint8]
    regions: NDArray[np.float32] | None
    grid: Grid
    volumes_ml: dict[str, float]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, result: Segmentation, options: Options) -> Content:
        """Take what will be written."""
        regions = result.regions() if options.probabilities else None
        return cls(result.labels, regions, result.grid, result.volumes_ml(), result.warnings)


def provenance(model: Model, choice: Choice, scans: Mapping[Modality, Source], options: Options) -> dict[str, Any]:
    """What decides a prediction, as plain numbers and words: two with the same provenance are the same.

    Args:
        model: what predicts.
        choice: the sequences and the members of the model that it will use.
        scans: where the patient's sequences lie, also those that will not be used.
        options: what was asked for.

    Raises:
        DataError: a scan is missing or cannot be read.
    """
    used = {modality: scans[modality] for modality in sorted(choice.subset)}
    # A 4-D file holds several sequences, and is looked through once.
    digests = {path: _digest(path) for path in {source.path for source in used.values()}}
    identity: dict[str, Any] = dict(model.identity())
    # A pack that gains a member for another subset still makes the same mask.
    members = [member for member in identity["members"] if member["name"] in choice.members]
    facts = {
        "model": {**identity, "members": members},
        "sequences": str(choice.subset),
        "kind": choice.kind,
        "scans_sha256": {modality.role: digests[source.path] for modality, source in used.items()},
        "channels": {modality.role: source.channel for modality, source in used.items() if source.channel is not None},
        "options": asdict(options),
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def finished(files: Files, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """The facts of an earlier prediction of this provenance, if its files are still what was written; else None."""
    facts = files.written()
    try:
        same = all(facts.get(key) == value for key, value in made_from.items())
        if not facts or not same or facts["mask_sha256"] != sha256(files.mask):
            return None
        probabilities = facts.get("probabilities_sha256")
        return facts if probabilities is None or probabilities == sha256(files.probabilities) else None
    except OSError:
        return None


def write(
    files: Files,
    content: Content,
    made_from: Mapping[str, Any],
    options: Options,
    scans: Mapping[Modality, Source],
) -> dict[str, Any]:
    """Write a prediction, replacing what lies there; gives its facts, which are what the JSON holds.

    Everything is written beside its place, under names that begin with a dot, before anything takes its name.

    Raises:
        UsageError: the label scheme has no code for a label that occurs, or the mask is DICOM and no series has its
            grid.
        DataError: the mask is DICOM and a series cannot be read, or lacks what a reference needs.
        ResourceError: the disk is full.
    """
    stale = _stale_probabilities(files, options)
    replaced = files.mask.exists()
    kept = () if content.regions is None else (files.probabilities,)
    # The commit mark comes last.
    order = (*kept, files.mask, files.facts) if replaced else (files.facts, *kept, files.mask)
    with ExitStack() as places:
        # What enters last takes its name first.
        beside = {path: places.enter_context(replacing(path)) for path in reversed(order)}
        _write_mask(files.mask, beside[files.mask], content, options.labels, scans)
        digests = {"mask_sha256": sha256(beside[files.mask])}
        if content.regions is not None:
            write_probabilities(beside[files.probabilities], content.regions, content.grid)
            digests["probabilities_sha256"] = sha256(beside[files.probabilities])
        facts = {
            "limbeck": __version__,
            **made_from,
            "codes": {str(code): label.name.lower() for code, label in label_scheme(options.labels).items()},
            "volumes_ml": {region: round(volume, 3) for region, volume in content.volumes_ml.items()},
            "warnings": list(content.warnings),
            **digests,
            "note": "research software, not for clinical use",
        }
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        beside[files.facts].write_text(text, encoding="utf-8")
        # Probabilities that go do so while a JSON still says whose they are.
        for path in (*stale, *((files.facts,) if replaced else ())):
            path.unlink(missing_ok=True)
    return facts


def write_probabilities(path: Path, regions: NDArray[np.float32], grid: Grid) -> None:
    """Write `[3,X,Y,Z]` probabilities of WT, TC and ET as a 4-D float32 NIfTI `[X,Y,Z,3]` on `grid`; not durably."""
    header = nifti_header(grid.header)
    header["descrip"] = f"probabilities of {', '.join(region.name for region in Region)}".encode()
    image = nib.Nifti1Image(np.moveaxis(regions, 0, -1), None, header)
    image.set_data_dtype(np.float32)
    nib.save(image, path)


def _write_mask(mask: Path, beside: Path, content: Content, scheme: str, scans: Mapping[Modality, Source]) -> None:
    """Write the mask beside its place; what goes wrong names the place."""
    try:
        if mask.name.endswith(DICOM_SEG):
            from limbeck.data import dicom_seg  # noqa: PLC0415 - the extra [dicom]

            dicom_seg.write(beside, content.labels, _series(mask, content.grid, scans))
        else:
            write_labels(beside, content.labels, content.grid, scheme)
    except ResourceError as error:
        raise ResourceError(str(error).replace(str(beside), shown(mask))) from error


def _series(mask: Path, grid: Grid, scans: Mapping[Modality, Source]) -> Path:
    """The first of the patient's DICOM series on which the mask lies."""
    folders = [scans[modality] for modality in sorted(scans) if scans[modality].path.is_dir()]
    for source in folders:
        if grid.difference(read_grid(source)) is None:
            return source.path
    raise UsageError(
        f"{shown(mask)}: none of the scans is a DICOM series on the mask's grid: expected a name in .nii.gz"
    )


def _stale_probabilities(files: Files, options: Options) -> tuple[Path, ...]:
    """Probabilities that belong to a prediction which is about to be replaced, and will not be written again."""
    ours = "probabilities_sha256" in files.written()
    return (files.probabilities,) if ours and not options.probabilities else ()


def _digest(path: Path) -> str:
    """The SHA-256 of a scan: of its file, of its header and voxels, or of all files of a DICOM series."""
    try:
        files = parts(path)
        if files == [path]:
            return sha256(path)
        listed = "".join(f"{file.name} {sha256(file)}\n" for file in files)
        return hashlib.sha256(listed.encode()).hexdigest()
    except FileNotFoundError as error:
        raise DataError(f"{shown(path)}: no such file: expected a scan") from error
    except OSError as error:
        raise DataError(f"{shown(path)}: {error.strerror}: expected a scan that can be read") from error
