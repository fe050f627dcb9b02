"""The toy network that servers under test have."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.helpers import toy

from midstream import models


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its description, in a folder of the module's own."""
    return toy.write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def network(model: Path) -> models.SplitModel:
    return models.load(str(model), threads=1)
