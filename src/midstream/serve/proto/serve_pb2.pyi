from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Side(_message.Message):
    __slots__ = ("release", "format_version", "network", "cut", "profile")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    release: str
    format_version: int
    network: str
    cut: str
    profile: str
    def __init__(self, release: _Optional[str] = ..., format_version: _Optional[int] = ..., network: _Optional[str] = ..., cut: _Optional[str] = ..., profile: _Optional[str] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("client",)
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    client: Side
    def __init__(self, client: _Optional[_Union[Side, _Mapping]] = ...) -> None: ...

class DescribeReply(_message.Message):
    __slots__ = ("server", "classes", "has_masks", "max_message_bytes", "max_elements", "max_pixels", "max_in_flight", "task", "takes_streams", "outputs")
    SERVER_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    HAS_MASKS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    MAX_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    TAKES_STREAMS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    server: Side
    classes: _containers.RepeatedScalarFieldContainer[str]
    has_masks: bool
    max_message_bytes: int
    max_elements: int
    max_pixels: int
    max_in_flight: int
    task: str
    takes_streams: bool
    outputs: _containers.RepeatedCompositeFieldContainer[Output]
    def __init__(self, server: _Optional[_Union[Side, _Mapping]] = ..., classes: _Optional[_Iterable[str]] = ..., has_masks: bool = ..., max_message_bytes: _Optional[int] = ..., max_elements: _Optional[int] = ..., max_pixels: _Optional[int] = ..., max_in_flight: _Optional[int] = ..., task: _Optional[str] = ..., takes_streams: bool = ..., outputs: _Optional[_Iterable[_Union[Output, _Mapping]]] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("name", "dtype", "shape", "any_shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    ANY_SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    any_shape: bool
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., any_shape: bool = ...) -> None: ...

class InferRequest(_message.Message):
    __slots__ = ("session", "frame", "bitstream", "height", "width", "timeout_ms", "attempt")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    BITSTREAM_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    session: str
    frame: int
    bitstream: bytes
    height: int
    width: int
    timeout_ms: int
    attempt: int
    def __init__(self, session: _Optional[str] = ..., frame: _Optional[int] = ..., bitstream: _Optional[bytes] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., attempt: _Optional[int] = ...) -> None: ...

class InferReply(_message.Message):
    __slots__ = ("session", "frame", "detections", "error", "tensors", "timings", "repeated", "attempt")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    session: str
    frame: int
    detections: Detections
    error: Error
    tensors: Tensors
    timings: Timings
    repeated: bool
    attempt: int
    def __init__(self, session: _Optional[str] = ..., frame: _Optional[int] = ..., detections: _Optional[_Union[Detections, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., tensors: _Optional[_Union[Tensors, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., repeated: bool = ..., attempt: _Optional[int] = ...) -> None: ...

class Detections(_message.Message):
    __slots__ = ("boxes", "scores", "labels", "masks", "keypoints")
    BOXES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    KEYPOINTS_FIELD_NUMBER: _ClassVar[int]
    boxes: _containers.RepeatedScalarFieldContainer[float]
    scores: _containers.RepeatedScalarFieldContainer[float]
    labels: _containers.RepeatedScalarFieldContainer[int]
    masks: _containers.RepeatedCompositeFieldContainer[Mask]
    keypoints: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, boxes: _Optional[_Iterable[float]] = ..., scores: _Optional[_Iterable[float]] = ..., labels: _Optional[_Iterable[int]] = ..., masks: _Optional[_Iterable[_Union[Mask, _Mapping]]] = ..., keypoints: _Optional[_Iterable[float]] = ...) -> None: ...

class Tensors(_message.Message):
    __slots__ = ("tensors",)
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    tensors: _containers.RepeatedCompositeFieldContainer[Tensor]
    def __init__(self, tensors: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("name", "dtype", "shape", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    values: bytes
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., values: _Optional[bytes] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("height", "width", "counts")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    height: int
    width: int
    counts: bytes
    def __init__(self, height: _Optional[int] = ..., width: _Optional[int] = ..., counts: _Optional[bytes] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "retry_after_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    retry_after_ms: int
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("queue_us", "decode_us", "back_us")
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    DECODE_US_FIELD_NUMBER: _ClassVar[int]
    BACK_US_FIELD_NUMBER: _ClassVar[int]
    queue_us: int
    decode_us: int
    back_us: int
    def __init__(self, queue_us: _Optional[int] = ..., decode_us: _Optional[int] = ..., back_us: _Optional[int] = ...) -> None: ...
