"""A Ray that the tests share."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.helpers.cluster import Cluster

_START = (
    "import ray, sys; c = ray.init(num_cpus=4, include_dashboard=False, object_store_memory=2**28, "
    "log_to_driver=False); print(c.address_info['gcs_address'], flush=True); sys.stdin.read()"
)


@pytest.fixture(scope="session", autouse=True)
def _environment() -> Iterator[None]:
    """A token of its own keeps Ray from making one in the user's home; its workers are no less urgent than others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@pytest.fixture(scope="session")
def cluster(_environment: None) -> Iterator[Cluster]:
    with subprocess.Popen([sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield Cluster(server.pid, server.stdout.readline().decode().strip())
        server.communicate(b"")
