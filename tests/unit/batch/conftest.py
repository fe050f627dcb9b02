"""A folder of labelled images, the toy network, and the folder of a job with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.jobs import a_job
from tests.helpers.toy import write_labelled

from midstream import models
from midstream.batch.folder import Folder, JobManifest
from midstream.models import SplitModel


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    return write_labelled(tmp_path)


@pytest.fixture
def network(labelled: Path) -> SplitModel:
    return models.load(str(labelled / "toy.toml"), threads=1)


@pytest.fixture
def folder(tmp_path: Path, network: SplitModel) -> Iterator[Folder]:
    there = Folder(tmp_path / "out")
    with there.opened(JobManifest.of(a_job(network, "encode"), "toy")):
        yield there
