"""What crosses the network between a device and a server, and their handshake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

import midstream as ms
from midstream.models import Detections
from midstream.serve import messages
from midstream.serve.proto import serve_pb2 as pb


def test_the_generated_code_is_that_of_the_proto(tmp_path: Path) -> None:
    source = Path(messages.__file__).parents[2]
    written = tmp_path / "set"
    file = "midstream/serve/proto/serve.proto"
    assert protoc.main(["protoc", f"--proto_path={source}", f"--descriptor_set_out={written}", file]) == 0
    made = descriptor_pb2.FileDescriptorSet.FromString(written.read_bytes()).file[0]
    ours = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(ours)
    for message in made.message_type:  # protoc writes these, the runtime leaves them out
        for field in message.field:
            field.ClearField("json_name")
    assert ours == made


def test_a_mismatch_says_which_side_has_what() -> None:
    server = pb.Side(release="0.1.0", format_version=1, network="picodet", cut="a" * 64, profile="11")
    for change, expected in (
        ({}, ""),
        ({"profile": ""}, ""),
        ({"format_version": 2}, "version 2 (midstream 0.1.0), the server reads version 1"),
        (
            {"cut": "b" * 64, "network": "yolox"},
            "features of yolox, cut graph bbbbbbbbbbbbbbbb; the server runs picodet",
        ),
        ({"profile": "22"}, "the profile 22, the server has 11"),
    ):
        client = pb.Side(**({"release": "0.1.0", "format_version": 1, "cut": "a" * 64, "profile": "11"} | change))
        reason = messages.mismatch(client, server)
        assert expected in reason
        assert bool(reason) == bool(expected)
    no_profile = pb.Side(format_version=1, cut="a" * 64)
    assert "has no profile" in messages.mismatch(pb.Side(cut="a" * 64, profile="22"), no_profile)


def test_detections_cross_the_network_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    masks = [{"size": [4, 5], "counts": b"\x01abc"}, {"size": [4, 5], "counts": b""}]
    found = Detections(
        rng.normal(size=(2, 4)).astype(np.float32), rng.random(2).astype(np.float32), np.array([3, 70]), masks
    )
    back = messages.from_message(pb.Detections.FromString(messages.to_message(found).SerializeToString()), True)
    np.testing.assert_array_equal(back.boxes, found.boxes)
    np.testing.assert_array_equal(back.scores, found.scores)
    np.testing.assert_array_equal(back.labels, found.labels)
    assert back.masks == masks
    for spoilt in (pb.Detections(boxes=[1.0], scores=[1.0], labels=[1]), pb.Detections(scores=[1.0])):
        with pytest.raises(ms.InputError, match="different numbers"):
            messages.from_message(spoilt, False)
