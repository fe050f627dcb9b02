"""Training the transform of a profile through the network's back, by gradient: in torch, of the extra `train`.

What comes out is a profile like any other: devices and servers need nothing of this.
"""

from midstream.errors import MissingExtraError

try:
    import onnx2torch as _onnx2torch  # noqa: F401
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError("training a transform", "train") from error
