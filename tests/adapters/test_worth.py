"""What cells are worth, as a training measures it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.helpers import toy
from tests.helpers.calibration import FAST, calibrated
from tests.helpers.torch_threads import one_thread  # noqa: F401, a fixture

from midstream.calibration import made
from midstream.calibration.settings import Training
from midstream.calibration.training import run as training_run
from midstream.calibration.training import worth
from midstream.calibration.training.transform import TrainedTransform
from midstream.codec.calibrated.parts import step_sizes
from midstream.codec.calibrated.transform import grid_of

pytestmark = pytest.mark.usefixtures("one_thread")
TRAINED = replace(FAST, passes=4, training=Training(0, 40))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Any, ...], dict[Any, np.ndarray]]:
    """What `cell_worths` is asked in a calibration of the toy network, and its answer."""
    folder, found = toy.write_labelled(tmp_path_factory.mktemp("toy")), []
    toy.write_images(folder / "calib", 26)

    def watched(*asked: Any) -> Any:
        found.append((asked, worth.cell_worths(*asked)))
        return found[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run, "cell_worths", watched)
        patch.setattr(made, "best_training", lambda *_: 1)
        calibrated(folder, tmp_path_factory.mktemp("work"), TRAINED)
    return found[0]


def test_every_view_of_the_probe_has_its_cells_on_the_scale_of_scores(seen: Any) -> None:
    (material, about, *_), worths = seen
    assert set(worths) == set(material.shown)
    for each in worths.values():
        assert each.dtype == np.float32
        assert len(each) == len(about.map_levels)
    everything = np.concatenate([each.ravel() for each in worths.values()])
    assert (everything > 0).all()
    assert np.mean(everything >= about.importance.knee) == pytest.approx(worth._FINEST, abs=0.02)


def test_cells_that_are_worth_more_bring_back_more(seen: Any) -> None:
    """Exact coefficients in the half of the cells that lose the most leave less to be lost than in the other half."""
    (material, about, fits, indices, teacher), _ = seen
    transform = TrainedTransform([fit.group for fit in fits[: about.layer_count]])
    size = float(step_sizes(np.array(indices[:1], np.int16))[0])
    lost = {"most": 0.0, "least": 0.0}
    for view in material.shown[:12]:
        maps = {name: torch.tensor(values) for name, values in material.views.sent(view).items()}
        by_cell = torch.tensor(worth._measured(material, transform, teacher, view, [size])["lost"][0])
        grid = grid_of(transform.levels, {name: (each.shape[1], each.shape[2]) for name, each in maps.items()})
        batch, distance = {name: each[None] for name, each in maps.items()}, teacher.distance(maps)
        exact, decoded = transform.quantised(batch, grid, size)
        most = by_cell > by_cell.median()
        for which, cells in (("most", most), ("least", ~most)):
            mixed = [
                torch.where(cells[min(i, len(cells) - 1)], *both)
                for i, both in enumerate(zip(exact, decoded, strict=True))
            ]
            with torch.no_grad():
                restored = {name: values[0] for name, values in transform.restored(batch, mixed).items()}
                lost[which] += float(distance.lost({**maps, **restored}))
    assert lost["most"] < 0.7 * lost["least"]


def test_gradients_that_are_not_finite_make_no_cell_worth_more(seen: Any) -> None:
    (material, about, fits, _, teacher), _ = seen

    def broken(maps: Any) -> Any:
        found = teacher.distance(maps)
        return replace(found, lost=lambda coded: found.lost(coded) * float("nan"))

    transform = TrainedTransform([fit.group for fit in fits[: about.layer_count]])
    numbers = worth._measured(material, transform, SimpleNamespace(distance=broken), material.shown[0], [1.0])
    assert not numbers["lost"].any()
