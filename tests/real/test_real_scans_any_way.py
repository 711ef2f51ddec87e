"""Real patients in whatever way they are written: the same mask, voxel for voxel; and what other grids cost by us.

The network is trained here for some seconds, on phantoms of 4 mm, and the scans are thinned to 2 mm: enough for masks
with every label and every border in them. `benchmarks/any_way.py` does the same with whole scans and a better network.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from carried import carried, carry, coarsened, lattices, own
from rewritten import straight, ways
from scans import REGIONS, dice, patients

from limbeck.data.cohort import import_cohort
from limbeck.data.dataset import SamplingSettings
from limbeck.data.geometry import Geometry
from limbeck.data.grid import Grid
from limbeck.data.importers import detect_layout
from limbeck.experiment import plan, run
from limbeck.methods import find
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.training.optimise import OptimiserSettings
from limbeck.training.trainer import TrainingSettings

REAL = os.environ.get("LIMBECK_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL, reason="LIMBECK_REAL_DATA does not name the folder of the real cases")
MODEL_MM = 4.0
STEPS = 60
# Of the storage orders a few: `unit/inference/test_model.py` goes through them, `benchmarks/any_way.py` through all.
WAYS = [way for number, way in enumerate(ways()) if way.group != "storage order" or number % 4 == 1]
PLACES = range(4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that segments roughly."""
    root = tmp_path_factory.mktemp("model")
    write_phantoms(root / "phantoms", 5, spacing_mm=MODEL_MM, workers=1)
    importer, _ = detect_layout(root / "phantoms")
    cohort = import_cohort(
        importer.find(root / "phantoms"),
        root / "cohort",
        spacing_mm=MODEL_MM,
        scheme="brats2018",
        layout=importer.name,
        source=root / "phantoms",
        workers=1,
    )
    parts = {
        "method_settings": find("supervised").Settings(width=8),
        "training": TrainingSettings(steps=STEPS, validate_every=0, save_every=STEPS),
        "optimiser": OptimiserSettings(optimiser="adamw", learning_rate=4e-3, schedule="cosine", warmup=10, clip=5.0),
        "sampling": SamplingSettings(patch=(32, 32, 32), batch=2),
    }
    return run(plan("supervised", "all", None, parts), cohort, root / "runs")


@pytest.fixture(scope="module")
def whole():
    return patients(Path(REAL))


@pytest.fixture(scope="module")
def thinned(whole):
    return [patient.thinned() for patient in whole]


@pytest.fixture(scope="module")
def masks(model, thinned, tmp_path_factory):
    """Each patient's mask from plain files, made when it is first asked for."""
    made = {}

    def mask(place):
        if place not in made:
            made[place] = straight().predicted(model, thinned[place], tmp_path_factory.mktemp("straight"))
        return made[place]

    return mask


@pytest.mark.parametrize("place", PLACES)
def test_the_network_sees_the_tumour_so_that_masks_can_differ(masks, thinned, place):
    found = dice(masks(place), thinned[place].labels)
    print(f"{thinned[place].name}: Dice", ", ".join(f"{region} {value:.2f}" for region, value in found.items()))
    assert found["WT"] > 0.2
    assert np.isin(masks(place), REGIONS["ET"]).any()


@pytest.mark.parametrize(
    "number",
    [pytest.param(number, id=way.name) for number, way in enumerate(WAYS)],
)
def test_a_patient_gets_one_mask_however_the_scans_are_written(model, thinned, masks, tmp_path, number):
    place = number % len(PLACES)
    mask = WAYS[number].predicted(model, thinned[place], tmp_path)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, masks(place))


@pytest.mark.parametrize("place", PLACES)
def test_labels_cross_to_model_space_and_back_as_by_scipy_on_any_grid(thinned, place):
    """What the model's coarser voxels lose is theirs; of ours is only how the way there and back is computed."""
    patient = thinned[place]
    # Each grid for two of the patients.
    for lattice in [own(patient), *list(lattices(patient))[place % 2 :: 2]]:
        labels = carry(patient.labels, patient.affine, lattice, order=0)
        geometry = Geometry.of(Grid.of(lattice.shape, lattice.affine), MODEL_MM)
        shape = tuple(geometry.shape[geometry.axes.index(axis)] for axis in range(3))
        ours = geometry.labels_to_native(geometry.labels_to_model(labels))
        theirs = coarsened(coarsened(labels, shape), lattice.shape)
        assert min(dice(ours, theirs).values()) >= 0.99, lattice.name


@pytest.mark.parametrize("place", PLACES)
def test_a_mask_of_a_patient_on_another_grid_lies_where_the_straight_one_does(model, thinned, masks, tmp_path, place):
    patient = thinned[place]
    lattice = list(lattices(patient))[place + 3]
    mask = straight().predicted(model, carried(patient, lattice), tmp_path)
    found = dice(carry(mask, lattice.affine, own(patient), order=0), masks(place))
    print(f"{patient.name} {lattice.name}: Dice", ", ".join(f"{region} {value:.3f}" for region, value in found.items()))
    assert found["WT"] > 0.7
