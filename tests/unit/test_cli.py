"""The command line as a user meets it: pipes, JSON, one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.helpers import toy
from tests.helpers.commands import midstream, mistake, process

import midstream as ms
from midstream.cli import coding
from midstream.codec.paper.decoder import open_levels
from midstream.errors import LimitError
from midstream.files import read_pyramid, write_pyramid
from midstream.limits import Limits

Pyramid = dict[str, NDArray[np.float32]]


@pytest.fixture
def source(tmp_path: Path, pyramid: Pyramid) -> Path:
    write_pyramid(str(tmp_path / "x.npz"), pyramid)
    return tmp_path / "x.npz"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return toy.write_labelled(tmp_path)


def test_encode_decode_inspect(tmp_path: Path, source: Path, pyramid: Pyramid) -> None:
    options = ["--codec", "paper", "--symbols", 3, "--z", 0.5, "--coder", "prefix"]
    done = midstream("encode", source, "-o", tmp_path / "x.mids", *options)
    data = ms.encode(pyramid, symbols=3, z=0.5, coder="prefix")
    assert (tmp_path / "x.mids").read_bytes() == data
    assert f"{len(data):,} bytes" in done.stderr.decode()
    midstream("decode", tmp_path / "x.mids", "-o", tmp_path / "y.safetensors")
    for name, values in ms.decode(data).items():
        np.testing.assert_array_equal(read_pyramid(str(tmp_path / "y.safetensors"))[name], values)
    midstream("decode", tmp_path / "x.mids", "-o", tmp_path / "z.npz", "--levels", "p5,p4")
    assert list(read_pyramid(str(tmp_path / "z.npz"))) == ["p4", "p5"]
    info = json.loads(midstream("inspect", tmp_path / "x.mids", "--json").stdout)
    assert info == json.loads(json.dumps(ms.inspect(data, symbols=True).to_dict()))
    assert info["levels"][0]["symbols"]["raw_bits"] == 2
    table = midstream("inspect", tmp_path / "x.mids").stdout.decode()
    assert "side info" in table
    assert "p4" in table


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device without an end")
def test_a_bitstream_without_an_end_is_too_large() -> None:
    with pytest.raises(LimitError, match="too large for a bitstream: more than 4,000 bytes"):
        coding._bitstream("/dev/zero", Limits(elements=1000, chunk_bytes=10))


def test_a_cut_bitstream_is_decoded_in_part_when_asked_for(tmp_path: Path, source: Path, pyramid: Pyramid) -> None:
    data = ms.encode(pyramid)
    (tmp_path / "cut.mids").write_bytes(data[:-9])
    assert "ends after" in mistake("decode", tmp_path / "cut.mids", "-o", tmp_path / "x.npz")
    midstream("decode", tmp_path / "cut.mids", "-o", tmp_path / "x.npz", "--partial", "--threads", 2)
    assert list(read_pyramid(str(tmp_path / "x.npz"))) == ["p4", "p5"]
    with pytest.raises(ms.TruncatedError, match="level 'p3' needs"):
        ms.decode(data[:-9], levels=["p3"], partial=True)
    assert list(ms.decode(data[:-9], partial=True, limits=ms.Limits(elements=552))) == ["p4", "p5"]


@pytest.mark.parametrize("coder", ["fast", "dense", "raw", "prefix"])
def test_a_map_of_what_symbols_cost(tmp_path: Path, pyramid: Pyramid, coder: str) -> None:
    pyramid["p4"][2] = 1
    (tmp_path / "x.mids").write_bytes(ms.encode(pyramid, coder=coder))
    midstream("inspect", tmp_path / "x.mids", "--map", "p3:4", "-o", tmp_path / "map.png")
    pixels = cv2.imread(str(tmp_path / "map.png"))
    assert pixels is not None
    assert pixels.shape[1] > pixels.shape[0] > 200
    for place, message in (
        ("p9:1", "unknown level"),
        ("p3:6", "channels 0 to 5"),
        ("p4:2", "one value only"),
        ("p3", "such as"),
    ):
        assert message in mistake("inspect", tmp_path / "x.mids", "--map", place, "-o", tmp_path / "map.png")
    assert "go together" in mistake("inspect", tmp_path / "x.mids", "--map", "p3:1")


@pytest.mark.parametrize("coder", ["fast", "dense", "raw", "prefix"])
def test_costs_add_up_to_the_payload(pyramid: Pyramid, coder: str) -> None:
    x = np.repeat(pyramid["p3"], 4, axis=1)
    data = ms.encode({"x": x}, coder=coder)
    reader = open_levels(data)["x"]
    costs = [reader.channel_costs(c) for c in range(len(x))]
    bits = sum(float(found[1].sum()) for found in costs if found is not None)
    payload = 8 * ms.inspect(data).payload_bytes
    assert bits <= payload <= bits + 8 * 200  # tables and states


def test_bench(tmp_path: Path, source: Path) -> None:
    report = json.loads(midstream("bench", "--shape", "5x16x20", "--coder", "all", "--repeats", 1, "--json").stdout)
    assert [row["coder"] for row in report["rows"]] == ["fast", "dense", "raw", "prefix"]
    assert report["elements"] == 1600
    assert all(row["encode_passes"] > 0 and row["bits_per_element"] > 0 for row in report["rows"])
    assert "read pass" in midstream("bench", source, "--repeats", 1).stdout.decode()
    assert "valid: r50, picodet, or" in mistake("bench", "--shape", "5x16")
    assert "the benchmark takes" in mistake("bench", "--shape", "5x16x" + "9" * 30)
    assert "unknown coder" in mistake("bench", "--coder", "zip")


def test_pipes(source: Path, pyramid: Pyramid) -> None:
    encoded = process("encode", "-", "-o", "-", stdin=source.read_bytes()).stdout
    assert encoded == ms.encode(pyramid)
    assert json.loads(process("inspect", "-", "--json", stdin=encoded).stdout)["codec"] == "paper"
    decoded = process("decode", "-", "-o", "-", stdin=encoded).stdout
    assert process("encode", "-", "-o", "-", stdin=decoded).stdout == ms.encode(ms.decode(encoded))


@pytest.mark.parametrize(
    ("options", "kwargs"),
    [
        (["--thresholds=-1,0.5"], {"thresholds": [-1, 0.5]}),
        (["--symbols", 6, "--thresholds", "uniform", "--step", 1], {"symbols": 6, "thresholds": "uniform", "step": 1}),
        (["--symbols", 6, "--thresholds", "lloyd-max"], {"symbols": 6, "thresholds": "lloyd-max"}),
        (["--symbols", 256, "--coder", "raw"], {"symbols": 256, "coder": "raw"}),
    ],
)  # fmt: skip
def test_codec_options(source: Path, pyramid: Pyramid, options: list[Any], kwargs: dict[str, Any]) -> None:
    assert midstream("encode", source, "-o", "-", *options).stdout == ms.encode(pyramid, **kwargs)


def test_mistakes_are_one_line_and_exit_code_2(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    assert "No such command 'frobnicate'" in mistake("frobnicate")
    assert "Missing option '--output'" in mistake("encode", source)
    assert "none.npz: cannot be read: No such file" in mistake("encode", tmp_path / "none.npz", "-o", out)
    assert "valid: fast, dense, raw, prefix" in mistake("encode", source, "-o", out, "--coder", "zip")
    assert "valid: uniform, lloyd-max, range" in mistake("encode", source, "-o", out, "--thresholds", "otsu")
    assert "not a midstream bitstream" in mistake("decode", source, "-o", out)
    assert "-: the bitstream ends within" in mistake("inspect", "-", stdin=b"MIDS")
    assert "a pyramid is a file ending in" in mistake(
        "decode", "-", "-o", out, stdin=ms.encode({"x": np.eye(2, dtype="f4")[None]})
    )
    assert "coco:IMAGES_DIR" in mistake("eval", "--model", "picodet-s-416", "--data", "nowhere")
    assert "no image" in mistake("eval", "--model", "nope", "--data", tmp_path)
    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((4, 4, 3), np.uint8))
    assert "unknown model 'nope'" in mistake("eval", "--model", "nope", "--data", tmp_path)
    assert "expected WIDTHxHEIGHT" in mistake("paper", "sizes", "--input", "big")
    assert not out.exists()


def test_control_characters_in_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    data = ms.encode({"a\x1b[31m\nb": np.eye(2, dtype=np.float32)[None]})
    for command in (["inspect", "-"], ["decode", "-", "-o", tmp_path / "x.npz"]):
        done = midstream(*command, stdin=data)
        assert b"\x1b" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_result_that_cannot_be_written_is_found_before_the_work(data: Path) -> None:
    command = ["eval", "-m", data / "toy.toml", "-d", data / "images"]
    assert "is not a folder" in mistake(*command, "-o", data / "no" / "x.json")
    assert json.loads(midstream(*command, "-o", "-").stdout)["images"] == 4


def test_limits_on_the_command_line(source: Path, tmp_path: Path) -> None:
    midstream("encode", source, "-o", tmp_path / "x.mids")
    assert "the limit is 9" in mistake("decode", tmp_path / "x.mids", "-o", tmp_path / "y.npz", "--max-elements", 9)


def test_a_pyramid_of_too_many_elements_names_the_option(tmp_path: Path) -> None:
    np.save(tmp_path / "p3.npy", np.ones((2, 3, 4), np.float32))
    said = mistake("encode", tmp_path / "p3.npy", "-o", tmp_path / "x.mids", "--max-elements", 23)
    assert "more than 23 elements at level 'p3'; where the file is to be trusted, raise --max-elements" in said
    midstream("encode", tmp_path / "p3.npy", "-o", tmp_path / "x.mids", "--max-elements", 24)
    assert ms.decode((tmp_path / "x.mids").read_bytes())["p3"].shape == (2, 3, 4)


def test_help_teaches() -> None:
    for command in ([], ["encode"], ["decode"], ["inspect"], ["split"], ["extract"], ["eval"], ["models"], ["paper"],
                    ["paper", "sizes"], ["paper", "accuracy"], ["paper", "figure"]):  # fmt: skip
        assert b"--help" in midstream(*command, "--help").stdout
    assert midstream("--version").stdout.decode().strip() == ms.__version__


def test_models_lists_what_is_known() -> None:
    names = [model["name"] for model in json.loads(midstream("models", "--json").stdout)]
    assert names == [
        "nanodet-m-320", "picodet-s-320", "picodet-s-416", "streets-r16", "yolox-nano-416", "maskrcnn-r50-fpn",
        "fasterrcnn-r50-fpn", "detectron2:CONFIG",
    ]  # fmt: skip


def test_a_tensor_with_a_comma_in_its_name(tmp_path: Path) -> None:
    network = onnx.load(str(toy.write_gfl(tmp_path / "toy.onnx")))
    for node in network.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = "act(0,1):0" if name == "coarse" else name
    onnx.save(network, str(tmp_path / "toy.onnx"))
    midstream("split", tmp_path / "toy.onnx", "--at", "fine", "--at", "act(0,1):0", "-o", tmp_path / "parts")
    parts = onnx.load(str(tmp_path / "parts" / "back.onnx"))
    assert [value.name for value in parts.graph.input] == ["fine", "act(0,1):0"]


def test_split(tmp_path: Path) -> None:
    model = toy.write_gfl(tmp_path / "toy.onnx", initialisers_as_inputs=True)
    done = midstream("split", model, "--at", "fine,coarse", "-o", tmp_path / "parts", "--json")
    assert json.loads(done.stdout)["largest_difference"] < 1e-5
    assert done.stderr == b""
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == ["back.onnx", "front.onnx"]
    assert (
        "largest difference" in midstream("split", model, "--at", "fine,coarse", "-o", tmp_path / "p").stdout.decode()
    )
    assert "are: fine" in mistake("split", model, "--at", "fime,coarse", "-o", tmp_path / "no")
    assert "does not separate" in mistake("split", model, "--at", "coarse", "-o", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_extract(data: Path) -> None:
    images = sorted((data / "images").iterdir())
    midstream("extract", "--model", data / "toy.toml", *images, "-o", data / "pyramids")
    assert [p.name for p in sorted((data / "pyramids").iterdir())] == ["0.npz", "1.npz", "2.npz", "3.npz"]
    assert read_pyramid(str(data / "pyramids" / "0.npz"))["p3"].shape == (5, 4, 4)
    assert "none.png" in mistake("extract", "--model", data / "toy.toml", data / "none.png", "-o", data / "p")
    (data / "bad.png").write_bytes(b"not an image")
    assert "bad.png" in mistake("extract", "--model", data / "toy.toml", data / "bad.png", "-o", data / "p")


def test_images_that_cannot_be_read_are_skipped_counted_and_named(data: Path) -> None:
    spoiled = data / "images" / "1.png"
    spoiled.write_bytes(b"not an image")
    images = sorted((data / "images").iterdir())
    commands: list[list[object]] = [
        ["eval", "-m", data / "toy.toml", "-d", data / "images", "--json", "--quiet"],
        ["extract", "-m", data / "toy.toml", *images, "-o", data / "pyramids", "--quiet"],
    ]
    for command in commands:
        said = midstream(*command, code=1).stderr.decode().splitlines()
        assert said == [
            f"skipped: cannot read the image {spoiled}: it is not a whole image in a known format",
            "1 image skipped; --strict ends at the first",
        ]
        assert "1.png" in mistake(*command, "--strict")
    assert [p.name for p in sorted((data / "pyramids").iterdir())] == ["0.npz", "2.npz", "3.npz"]
    result = json.loads(midstream(*commands[0], code=1).stdout)
    assert result["images"] == 3
    assert [Path(path) for path, _ in result["skipped"]] == [spoiled]


def test_eval_says_what_speaks_against_its_figures(data: Path) -> None:
    truth = json.loads((data / "truth.json").read_text())
    truth["categories"][0]["name"] = "feline"
    (data / "truth.json").write_text(json.dumps(truth))
    done = midstream("eval", "-m", data / "toy.toml", "-d", f"coco:{data / 'images'},{data / 'truth.json'}", "--json")
    notes = json.loads(done.stdout)["notes"]
    assert done.stderr.decode().splitlines() == notes
    assert [line.rpartition(": ")[2] for line in notes[:2]] == ["feline", "cat"]
    assert "AP is 0 although it found" in notes[2]


def test_eval_prints_one_json_object(data: Path) -> None:
    command = ["eval", "--model", data / "toy.toml", "--data", f"coco:{data / 'images'},{data / 'truth.json'}"]
    done = midstream(*command, "--symbols", 4, "--z", 1.5, "--json", "-o", data / "result.json")
    assert done.stderr == b""
    result = json.loads(done.stdout)
    assert json.loads((data / "result.json").read_text()) == result
    assert {
        "model", "data", "images", "codec", "ap", "ap50", "ap_uncompressed", "ap50_uncompressed", "bytes_per_image",
        "bits_per_element", "elements_per_image", "ratio_to_input", "encode_ms", "decode_ms", "front_ms", "back_ms",
    } <= set(result)  # fmt: skip
    assert result["images"] == 4
    assert result["elements_per_image"] == 100
    assert result["codec"] == {"codec": "paper", "symbols": 4, "z": 1.5, "coder": "fast"}
    assert result["ratio_to_input"] == pytest.approx(result["bytes_per_image"] / (32 * 32 * 3))
    assert result["bits_per_element"] == pytest.approx(8 * result["bytes_per_image"] / 100)
    # Three best detections an image as labels: the network that made them finds them all.
    assert result["ap_uncompressed"] == pytest.approx(100)
    assert result["ap"] < 100


def test_bytes_are_those_of_the_bitstreams(data: Path) -> None:
    midstream("extract", "--model", data / "toy.toml", *sorted((data / "images").iterdir()), "-o", data / "pyramids")
    sizes = [len(ms.encode(read_pyramid(str(path)), symbols=3)) for path in sorted((data / "pyramids").iterdir())]
    result = json.loads(
        midstream("eval", "-m", data / "toy.toml", "-d", data / "images", "--symbols", 3, "--json").stdout
    )
    assert result["bytes_per_image"] == np.mean(sizes)


def test_eval_of_a_folder_is_agreement(data: Path) -> None:
    command = ["eval", "-m", data / "toy.toml", "-d", data / "images", "--json"]
    result = json.loads(midstream(*command, "--symbols", 256).stdout)
    assert result["ap_uncompressed"] == 100
    assert "agreement" in result["metric"]
    assert result["ap"] > json.loads(midstream(*command, "--symbols", 1).stdout)["ap"]
    assert json.loads(midstream(*command, "--limit", 2).stdout)["images"] == 2


def test_a_cache_is_used_and_never_for_another_model(data: Path) -> None:
    command = ["eval", "-m", data / "toy.toml", "-d", data / "images", "--json", "--cache", data / "cache"]
    first = json.loads(midstream(*command).stdout)
    assert first["front_ms"] > 0
    kept = sorted((data / "cache").iterdir())
    assert len(kept) == 4
    second = json.loads(midstream(*command).stdout)
    assert second["front_ms"] is None
    assert second["ap"] == first["ap"]
    content = kept[0].read_bytes()
    for damaged in (b"damaged", content[:-1], content[:-1] + bytes([content[-1] ^ 1]), kept[1].read_bytes()):
        kept[0].write_bytes(damaged)
        third = json.loads(midstream(*command).stdout)
        assert third["ap"] == first["ap"]
        assert third["front_ms"] > 0
        assert kept[0].read_bytes() == content
    (data / "toy.toml").write_text((data / "toy.toml").read_text().replace("64.0]", "65.0]"))
    assert json.loads(midstream(*command).stdout)["front_ms"] > 0
    assert len(list((data / "cache").iterdir())) == 8
    (data / "images" / "0.png").write_bytes((data / "images" / "1.png").read_bytes())
    midstream(*command)
    assert len(list((data / "cache").iterdir())) == 8  # the same image as another one: the same pyramid


def test_paper_sizes_are_the_papers() -> None:
    rows = json.loads(midstream("paper", "sizes", "--json").stdout)["rows"]
    assert [(row["kb_at_least"], row["kb"]) for row in rows] == [
        (None, 6144), (None, 174592), (None, 43648), (None, 10912), (5456, 10912),
    ]  # fmt: skip
    assert [(row["ratio_at_least"], row["ratio"]) for row in rows] == [
        (None, None), (None, 28.41), (None, 7.10), (None, 1.77), (0.88, 1.77),
    ]  # fmt: skip
    assert rows[1]["elements"] == 44_695_552
    assert rows[1]["shapes"] == [[512, 256, 256], [256, 128, 256], [128, 64, 256], [64, 32, 256], [32, 16, 256]]
    assert rows[3]["written"]["raw"] == pytest.approx(10912 * 1024, rel=1e-3)
    assert rows[4]["written"]["fast"] < rows[4]["written"]["prefix"] < rows[4]["written"]["raw"]


def test_paper_sizes_of_a_network(data: Path) -> None:
    table = midstream("paper", "sizes", "--model", data / "toy.toml", "--image", data / "images" / "0.png").stdout
    assert b"4x4x5" in table
    assert "its own input size" in mistake("paper", "sizes", "--model", data / "toy.toml", "--input", "64x64")


def test_paper_accuracy(data: Path) -> None:
    command = ["paper", "accuracy", "-m", data / "toy.toml", "-d", data / "images"]
    rows = json.loads(midstream(*command, "--json").stdout)["rows"]
    features = [*["4 symbols"] * 4, *["3 symbols"] * 4, "4 symbols", "3 symbols"]
    assert [row["features"] for row in rows] == ["original, 32 bit", "converted, 8 bit", *features]
    assert [row["thresholds"] for row in rows[2:]] == [f"z = {z}" for z in ("0.5", "1", "1.5", "2")] * 2 + [
        "lloyd-max"
    ] * 2
    assert all(set(row["result"]["bytes_by_coder"]) == {"raw", "prefix", "fast"} for row in rows[1:])
    table = midstream(*command).stdout.decode()
    assert "z = 1.5" in table
    assert "lloyd-max" in table


def test_paper_figure(data: Path) -> None:
    image = data / "images" / "0.png"
    midstream("paper", "figure", "--model", data / "toy.toml", image, "-o", data / "fig3.png")
    drawn = cv2.imread(str(data / "fig3.png"))
    assert drawn.shape[1] > 3 * 380
    inner = [tile[:, 12:-12] for tile in np.split(drawn[40:-12, :, 0], 3, axis=1)]
    grey = [len(np.unique(tile)) for tile in inner]
    assert grey[0] > 4
    assert 2 <= grey[1] <= 4
    assert 2 <= grey[2] <= 3
    assert all(tile.min() == 0 for tile in inner)
    assert all(tile.max() == 255 for tile in inner)
    assert "p7" in mistake("paper", "figure", "-m", data / "toy.toml", image, "-o", "f.png", "--level", "p7")
    assert "channels 0 to 4" in mistake(
        "paper", "figure", "-m", data / "toy.toml", image, "-o", "f.png", "--channel", 9
    )
    assert "is a .png file" in mistake("paper", "figure", "-m", data / "toy.toml", image, "-o", "f.jpg")
