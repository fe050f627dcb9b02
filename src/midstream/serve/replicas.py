"""The server's work on Ray Serve: replicas that hold the network, as many as the load asks for.

The process that clients connect to stays what it is without Ray, with its TLS, tokens, limits, queue and deadlines.
Only what would run in its threads runs in the replicas; frames wait in its queue, and beyond that clients are told to
come again. Ray Serve's own proxies, which know nothing of all this, are not started.
"""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from midstream.cluster import joined
from midstream.codec.calibrated.profile import Profile
from midstream.errors import MidstreamError, MissingExtraError
from midstream.models.reference import Reference
from midstream.serve.telemetry import log
from midstream.serve.work import Outcome, Refused, Work, infer, prepare

try:
    import ray
    import ray.exceptions
    import ray.serve
except ImportError as error:
    raise MissingExtraError("serving on Ray", "ray") from error

Infer = Callable[[Sequence[Work]], list[Outcome]]
#: Batches at one replica: one that is computed, one that waits, so that it never stands idle.
ONGOING = 2
#: How often a batch is given to another replica when the one that had it has died. The work is a pure function.
_TRIES = 5


@dataclass(frozen=True)
class ReplicaPlan:
    """What each replica holds.

    Attributes:
        network: which one.
        profile: of the codec `calibrated`.
        max_pixels, batch, elements, embedded: as `prepare` takes them.
    """

    network: Reference
    profile: Profile | None
    max_pixels: int
    batch: int
    elements: int | None
    embedded: bool


class Replica:
    """A network on one core, in a process of Ray Serve."""

    def __init__(self, plan: ReplicaPlan) -> None:
        self._served = prepare(
            plan.network.load(threads=1), plan.profile, max_pixels=plan.max_pixels, batch=plan.batch, threads=1,
            elements=plan.elements, embedded=plan.embedded,
        )  # fmt: skip

    def __call__(self, works: Sequence[Work]) -> list[Outcome]:
        """As `infer`."""
        return [_portable(outcome) for outcome in infer(self._served, works)]


def _portable(outcome: Outcome) -> Outcome:
    """Not every exception can travel; its text can."""
    if isinstance(outcome, Refused) and outcome.cause is not None:
        return replace(outcome, cause=RuntimeError(f"{type(outcome.cause).__name__}: {outcome.cause}"))
    return outcome


@contextlib.contextmanager
def replicas(address: str, plan: ReplicaPlan, least: int, most: int) -> Iterator[Infer]:
    """Replicas on a Ray, for as long as the block lasts.

    Args:
        address: of the Ray, see `midstream.cluster.joined`.
        plan: what each holds.
        least, most: how many; between them, as many as there are batches to compute.

    Yields:
        A function as `infer` that any thread may call, ONGOING times `most` at once.

    Raises:
        InputError: there is no Ray at the address.
        MidstreamError: the replicas do not start.
    """
    name = f"midstream-{secrets.token_hex(4)}"
    with joined(address, slots=most), contextlib.redirect_stdout(_Told()):
        ray.serve.start(proxy_location="Disabled")
        deployment = ray.serve.deployment(
            Replica,
            name="midstream",
            max_ongoing_requests=ONGOING,
            autoscaling_config={"min_replicas": least, "max_replicas": most, "target_ongoing_requests": 1},
            ray_actor_options={"num_cpus": 1},
        )
        try:
            handle = ray.serve.run(deployment.bind(plan), name=name, route_prefix=None)
        except RuntimeError as error:
            raise MidstreamError(f"the replicas do not start: {' '.join(str(error).split())}") from error
        log.info("replicas", ray=address, application=name, least=least, most=most)
        try:
            yield lambda works: _call(handle, works)
        finally:
            ray.serve.delete(name)


class _Told(io.TextIOBase):
    """What Ray prints of processes that ended, as lines of the log."""

    def write(self, text: str) -> int:
        if text.strip():
            log.warning("ray", said=text.strip())
        return len(text)


def _call(handle: Any, works: Sequence[Work]) -> list[Outcome]:
    for attempt in range(1, _TRIES + 1):
        try:
            outcomes: list[Outcome] = handle.remote(list(works)).result()
            return outcomes
        except ray.exceptions.RayActorError as error:
            log.warning("replica died", attempt=attempt, reason=str(error).splitlines()[0])
    return [Refused("this frame could not be computed", "internal", RuntimeError("its replicas died"))] * len(works)
