"""Ray: one that is running, or one of this machine's own. Imported only where Ray is used."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from midstream.errors import InputError, MidstreamError, MissingExtraError

try:
    import ray
except ImportError as error:
    raise MissingExtraError("work on Ray", "ray") from error

#: No usage statistics, no word about a change of defaults that does not concern us, and nothing from Ray's C++ core on
#: standard error: there, it reports as an error how Ray Data itself makes its workers.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
#: The address that stands for a Ray of this machine's own.
LOCAL = "local"
#: Object store of such a Ray: a few blocks for every worker, and room for those on their way.
OBJECT_STORE_BYTES = 512 << 20
_CONNECT_SECONDS = 10


@contextlib.contextmanager
def joined(address: str, slots: int) -> Iterator[int]:
    """A Ray to work on, for as long as the block lasts.

    Standard output is for results: meanwhile, what Ray prints there (that a worker ended, say) goes to standard error.

    Args:
        address: HOST:PORT; `auto` for one that runs on this machine; LOCAL to start one, with no port open to others.
        slots: CPUs of one that is started.

    Yields:
        The CPUs that there are.

    Raises:
        InputError: there is no Ray at the address.
        MidstreamError: none can be started.
    """
    for name in ("ray.data", "ray.serve"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with contextlib.redirect_stdout(sys.stderr):
        with _silent_descriptor():
            _connect(address, slots)
        try:
            yield int(ray.cluster_resources().get("CPU", 1))
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _silent_descriptor() -> Iterator[None]:
    """Nothing on descriptor 2: Ray's C++ core says there which level of log messages it has been set to."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _connect(address: str, slots: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL:
        try:
            ray.init(
                address=LOCAL, num_cpus=slots, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet
            )
        except Exception as error:  # Ray's own has no narrower type
            raise MidstreamError(
                f"Ray does not start on this machine, which may be too busy: {' '.join(str(error).split())}"
            ) from error
        return
    host, _, port = address.rpartition(":")
    try:
        if "/" not in host and port.isdecimal():  # Ray itself would try for many minutes
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        ray.init(address=address, **quiet)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray at {address}: {' '.join(str(error).split())}; one with token authentication needs "
            "RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN in the environment"
        ) from error
