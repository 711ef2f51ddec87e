"""The voxel grid of a scan: its shape, where it lies, and the header fields that say so."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import aff2axcodes
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

GRID_FIELDS = (
    *("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)

# What to do about a scan whose orientation is a guess.
PLACE_IT = "left and right may be swapped: export it with its position"


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxel grid of a volume as its file declares it.

    Attributes:
        shape: voxels along the file's own axes, `(X, Y, Z)`.
        affine: `[4,4]` float64, voxel indices to millimetres in RAS+ scanner space.
        header: the NIfTI fields that place the grid (forms, codes, voxel sizes, units), as they stood in the file, so
            that a result can be written on exactly this grid.
        lacks: what a file of another format lacks to say where the volume lies, in words; empty if nothing.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    header: Mapping[str, tuple[float, ...]]
    lacks: str = ""

    @classmethod
    def of(cls, shape: tuple[int, int, int], affine: NDArray[Any], lacks: str = "") -> Grid:
        """A grid that comes from no NIfTI file: the affine goes out as sform, in millimetres."""
        header = nib.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.asarray(affine, np.float64)).header
        header.set_xyzt_units("mm")
        return replace(cls.from_header(shape, header), lacks=lacks)

    @classmethod
    def from_header(cls, shape: tuple[int, int, int], header: Any) -> Grid:
        """The grid that a nibabel NIfTI header places."""
        affine = np.asarray(header.get_best_affine(), np.float64)
        fields = {name: tuple(float(value) for value in np.ravel(header[name])) for name in GRID_FIELDS}
        return cls(shape, affine, fields)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along the file's axes, in millimetres."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm³, rounded: a threshold is not decided by an affine's last digit."""
        return round(float(abs(np.linalg.det(self.affine[:3, :3]))), 6)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return self.voxel_mm3 / 1000

    @property
    def orientation(self) -> str:
        """Where the file's axes point, such as `LPS`."""
        return "".join(str(code) for code in aff2axcodes(self.affine))

    @property
    def unplaced(self) -> bool:
        """True if the file does not say where the volume lies, so that left and right are a guess."""
        return bool(self.lacks) or self.header["qform_code"] == self.header["sform_code"] == (0.0,)

    @property
    def doubt(self) -> str:
        """Why the orientation is a guess, in words; empty if the file says where it lies, and says it once."""
        why = self.lacks or ("neither qform nor sform" if self.unplaced else "")
        if not why and (apart := self._forms_apart_mm()) > max(self.spacing_mm):
            why = f"qform and sform lie {apart:.3g} mm apart"
        return f"{why}, so {self.orientation} is a guess" if why else ""

    def _forms_apart_mm(self) -> float:
        """How far apart qform and sform put a corner, in mm; 0 unless both are in use."""
        header = nifti_header(self.header)
        try:
            one, other = header.get_qform(coded=True)[0], header.get_sform(coded=True)[0]
        except (HeaderDataError, ValueError):
            # A qform that is no rotation says nothing beside an sform, which goes first.
            return 0.0
        return 0.0 if one is None or other is None else corners_apart_mm(self.shape, one, other)

    def difference(self, other: Grid, tolerance: float = 1e-3) -> str | None:
        """How `other` differs from this grid, in words; None if shape and affine agree."""
        if other.shape != self.shape:
            return f"shape {by(other.shape)} instead of {by(self.shape)}"
        apart = np.abs(other.affine - self.affine)
        if apart.max() <= tolerance:
            return None
        row, column = (int(index) for index in np.unravel_index(apart.argmax(), apart.shape))
        found, wanted = other.affine[row, column], self.affine[row, column]
        return (
            f"affine off by {apart.max():.6g} at row {row}, column {column} "
            f"({found:.6g} instead of {wanted:.6g}; orientation {other.orientation} and {self.orientation})"
        )

    def to_json(self) -> dict[str, Any]:
        """The grid as plain numbers, and what it lacks, if anything: cohorts keep their hash."""
        lacks = {"lacks": self.lacks} if self.lacks else {}
        return {
            "shape": list(self.shape),
            "header": {name: list(value) for name, value in self.header.items()},
            **lacks,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Grid:
        """The grid that `to_json` described; numbers come back bit for bit."""
        x, y, z = (int(size) for size in content["shape"])
        header = nifti_header({name: tuple(value) for name, value in content["header"].items()})
        # The affine of a grid without a form rests on its middle.
        header["dim"][:4] = (3, x, y, z)
        return replace(cls.from_header((x, y, z), header), lacks=str(content.get("lacks", "")))


def corners_apart_mm(shape: Sequence[int], one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Distance between the places that two affines `[4,4]` give to a voxel, at the farthest corner, in mm."""
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    corners[:, :3] *= np.array(shape) - 1
    return float(np.linalg.norm((corners @ (other - one).T)[:, :3], axis=1).max())


def nifti_header(fields: Mapping[str, tuple[float, ...]]) -> Any:
    """A NIfTI header with these fields, the others at rest."""
    header = nib.Nifti1Header()
    # What 32 bits cannot hold becomes infinite, and no affine.
    with np.errstate(over="ignore", invalid="ignore"):
        for name, value in fields.items():
            header[name] = value if len(value) > 1 else value[0]
    return header


def by(shape: Sequence[int]) -> str:
    """A shape in words: `240 x 240 x 155`."""
    return " x ".join(str(size) for size in shape)
