"""The server's work on Ray Serve: replicas that hold the network, as many as the load asks for.

The process that clients connect to stays what it is without Ray, with its TLS, tokens, limits, queue and deadlines.
Only what would run in its threads runs in the replicas; frames wait in its queue, and beyond that clients are told to
come again. Ray Serve's own proxies, which know nothing of all this, are not started.

Units of a stream go to the replica that has decoded those before them: a few kilobytes a frame, where handing the state
over would move a megabyte and decoding here as much (docs/scaling.md has the measurement). What is lost with a replica
is lost as in a server that has forgotten a stream: its sender is asked for a key.
"""

from __future__ import annotations

import contextlib
import io
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby
from typing import Any

from midstream.cluster import joined
from midstream.codec.calibrated.profile import Profile
from midstream.errors import MidstreamError, MissingExtraError
from midstream.models.reference import Reference
from midstream.serve.homes import Homes
from midstream.serve.reports import LOOK_S, Report, Reports
from midstream.serve.streams import StreamLimits, Streams
from midstream.serve.telemetry import log
from midstream.serve.work import Outcome, Refused, Work, infer, prepare, remembered

try:
    import ray
    import ray.exceptions
    import ray.serve
    from ray.serve.config import RequestRouterConfig
    from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica
except ImportError as error:
    raise MissingExtraError("serving on Ray", "ray") from error

Infer = Callable[[Sequence[Work]], list[Outcome]]
#: Batches for each replica: one that is computed, one that waits, so that none stands idle.
ONGOING = 2
#: How often a batch is given to another replica when the one that had it has died: either its outcome is the same
#: there, or units of a stream are found to lack what they refer to.
_TRIES = 5


@dataclass(frozen=True)
class ReplicaPlan:
    """What each replica holds.

    Attributes:
        network: which one.
        profile: of the codec `calibrated`.
        max_pixels, batch, elements, embedded: as `prepare` takes them.
        streams: of the streams that are at one replica; None where no units are taken.
    """

    network: Reference
    profile: Profile | None
    max_pixels: int
    batch: int
    elements: int | None
    embedded: bool
    streams: StreamLimits | None


class Replica:
    """A network on one core, in a process of Ray Serve, and the decoders of the streams that are here."""

    def __init__(self, plan: ReplicaPlan) -> None:
        self._served = prepare(
            plan.network.load(threads=1), plan.profile, max_pixels=plan.max_pixels, batch=plan.batch, threads=1,
            elements=plan.elements, embedded=plan.embedded,
        )  # fmt: skip
        self._forgotten = Counter[str]()
        self._streams = None if plan.streams is None else remembered(self._served, plan.streams, self._forget)
        self._name, self._numbers = ray.get_runtime_context().get_actor_id(), count()
        self._core = threading.Lock()

    def __call__(self, works: Sequence[Work]) -> tuple[list[Outcome], Report | None]:
        """As `infer`, and what is remembered of streams; None where none are taken."""
        with self._core:
            outcomes = [_portable(outcome) for outcome in infer(self._served, works, self._streams)]
            return outcomes, None if self._streams is None else self._report(self._streams)

    def _report(self, streams: Streams) -> Report:
        return Report(self._name, next(self._numbers), len(streams), streams.size, dict(self._forgotten))

    def _forget(self, why: str) -> None:
        self._forgotten[why] += 1

    def check_health(self) -> None:
        """Ray Serve asks every LOOK_S seconds."""
        if self._streams is not None:
            self._streams.forget_idle()


class StreamRouter(RequestRouter):  # type: ignore[misc]
    """Sends units of one stream, by their `session_id`, to one replica, and everything else to the least busy one."""

    def initialize_state(self, idle_s: float) -> None:
        """Called once by Ray Serve; see Homes."""
        self._homes: Homes[ReplicaID] = Homes(idle_s)

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Of those that live, which Ray Serve keeps up to date, the ones to ask."""
        if pending_request is None or not candidate_replicas:
            return [candidate_replicas]
        pending_request.routing_context.should_backoff = True  # else one that has no room is asked without a pause
        if not (stream := pending_request.metadata.session_id):
            return [candidate_replicas]
        there = {replica.replica_id: replica for replica in candidate_replicas}
        return [[there[self._homes.of(stream, there, time.monotonic())]]]


def _portable(outcome: Outcome) -> Outcome:
    """Not every exception can travel; its text can."""
    if isinstance(outcome, Refused) and outcome.cause is not None:
        return replace(outcome, cause=RuntimeError(f"{type(outcome.cause).__name__}: {outcome.cause}"))
    return outcome


@contextlib.contextmanager
def replicas(address: str, plan: ReplicaPlan, least: int, most: int, reports: Reports | None = None) -> Iterator[Infer]:
    """Replicas on a Ray, for as long as the block lasts.

    Args:
        address: of the Ray, see `midstream.cluster.joined`.
        plan: what each holds.
        least, most: how many; between them, as many as there are batches to compute.
        reports: told what they remember of streams.

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
            # All that the server gives out at once, so that none is turned away by the one replica that can take it.
            max_ongoing_requests=ONGOING * most,
            request_router_config=RequestRouterConfig(
                request_router_class=StreamRouter,
                request_router_kwargs={"idle_s": 0.0 if plan.streams is None else plan.streams.idle_s},
            ),
            autoscaling_config={"min_replicas": least, "max_replicas": most, "target_ongoing_requests": 1},
            ray_actor_options={"num_cpus": 1},
            health_check_period_s=LOOK_S,
        )
        try:
            handle = ray.serve.run(deployment.bind(plan), name=name, route_prefix=None)
        except RuntimeError as error:
            raise MidstreamError(f"the replicas do not start: {' '.join(str(error).split())}") from error
        log.info("replicas", ray=address, application=name, least=least, most=most)
        try:
            yield lambda works: _call(handle, works, reports)
        finally:
            ray.serve.delete(name)


class _Told(io.TextIOBase):
    """What Ray prints of processes that ended, as lines of the log."""

    def write(self, text: str) -> int:
        if text.strip():
            log.warning("ray", said=text.strip())
        return len(text)


def _call(handle: Any, works: Sequence[Work], reports: Reports | None) -> list[Outcome]:
    """The outcomes of a batch: what belongs to one stream at its replica, the rest together at another one."""
    numbers = sorted(range(len(works)), key=lambda number: str(works[number].stream))
    shares = [list(share) for _, share in groupby(numbers, key=lambda number: works[number].stream)]
    waiting = [_Share(handle, [works[number] for number in share], reports) for share in shares]
    outcomes: dict[int, Outcome] = {}
    for share, each in zip(shares, waiting, strict=True):
        outcomes.update(zip(share, each.outcomes(), strict=True))
    return [outcomes[number] for number in range(len(works))]


class _Share:
    """Works for one replica, on their way to it from the begin."""

    def __init__(self, handle: Any, works: list[Work], reports: Reports | None) -> None:
        stream = works[0].stream
        self._works, self._reports = works, reports
        self._handle = handle if stream is None else handle.options(session_id=" ".join(stream))
        self._response = self._handle.remote(works)

    def outcomes(self) -> list[Outcome]:
        for attempt in range(1, _TRIES + 1):
            try:
                outcomes: list[Outcome]
                outcomes, report = self._response.result()
                if self._reports is not None and report is not None:
                    self._reports.add(report)
                return outcomes
            except ray.exceptions.RayActorError as error:
                log.warning("replica died", attempt=attempt, reason=str(error).splitlines()[0])
                if self._reports is not None and error.actor_id is not None:
                    self._reports.ended(error.actor_id)
                self._response = self._handle.remote(self._works)
        died = RuntimeError("its replicas died")
        return [Refused("this frame could not be computed", "internal", died)] * len(self._works)
