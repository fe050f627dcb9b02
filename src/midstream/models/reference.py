"""A network as the processes of other machines find it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from midstream.errors import InputError
from midstream.models.base import SplitModel
from midstream.models.onnx_model import OnnxModel
from midstream.models.registry import load
from midstream.models.running import CPU


@dataclass(frozen=True)
class Reference:
    """What to load, and what it has to turn out to be.

    Attributes:
        model, weights: as `load` takes them, paths absolute.
        identity: of the network.
        cut: the network's fingerprint.
        task: of the network, by name.
    """

    model: str
    weights: Path | None
    identity: str
    cut: str
    task: str = "detection"

    @classmethod
    def of(cls, network: SplitModel, model: str, weights: Path | None) -> Reference:
        """Of a network that was loaded by these arguments; where its weights were found on the way is kept."""
        if isinstance(network, OnnxModel):
            weights = network.weights
        name = str(Path(model).absolute()) if model.endswith((".toml", ".onnx")) else model
        return cls(
            name,
            None if weights is None else weights.absolute(),
            network.identity,
            network.fingerprint,
            network.task.name,
        )

    def load(self, threads: int | None = None, device: str = CPU) -> SplitModel:
        """The network. Raises InputError when there is another one here, and as `load`."""
        network = load(self.model, self.weights, threads, device)
        if network.identity != self.identity:
            raise InputError(
                f"the network {network.name} of this machine ({network.identity[:12]}) is not that of the machine "
                f"which started the work ({self.identity[:12]}): put the same weights on both"
            )
        return network
