"""The command line with the codec `calibrated`: what it says of options, in the words that were typed."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from tests.helpers import profiles
from tests.helpers.commands import call

import midstream as ms
from midstream.arrays import pack_tensors, unpack_tensors
from midstream.errors import OptionError
from midstream.files import write_pyramid

OWN = "its own are --profile, --quality, --max-bytes, --max-loss, --embed, --importance; --codec paper has it"


@pytest.fixture
def base(tmp_path: Path) -> tuple[object, ...]:
    write_pyramid(str(tmp_path / "x.npz"), profiles.pyramid())
    profiles.profile().write(tmp_path / "x.profile")
    out = tmp_path / "x.mids"
    return ("encode", tmp_path / "x.npz", "-o", out, "--codec", "calibrated", "--profile", tmp_path / "x.profile")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--quality", 5, "--max-bytes", 900), "give one of --quality, --max-bytes and --max-loss"),
        (("--max-bytes", 0), "--max-bytes is a whole number, 1 or more, not '0'"),
        (("--max-bytes", 20), "--max-bytes 20: the least that this pyramid takes is"),
        (("--max-loss", "2"), "--max-loss is a share of the accuracy"),
        (("--max-loss", "some"), "such as 1% or 0.01, not 'some'"),
        (
            ("--symbols", 4),
            f"--symbols is no option of the codec calibrated; {OWN}\n",
        ),
        (("--codec", "paper"), "--profile is no option of the codec paper; its own are --symbols, --z"),
        (("--profile", ""), "--profile '': the name of a file is needed"),
        (("--profile", "/"), "--profile '/': the name of a file"),
        (("--profile", "nope"), "nope: cannot be read: No such file"),
    ],
)
def test_messages_name_options_as_typed(
    base: tuple[object, ...],
    arguments: tuple[object, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(*base, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.mids").exists()


def test_python_names_them_as_python_does() -> None:
    with pytest.raises(OptionError, match=re.escape("give one of quality, max_bytes and max_loss")):
        ms.encode(profiles.pyramid(), "calibrated", profile=profiles.profile(), quality=5, max_bytes=900)


def test_a_profile_is_needed(base: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*base[:-2]) == 2
    assert "the codec calibrated needs a --profile of the network" in capsys.readouterr().err


def test_eval_has_the_options_of_encode(base: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> None:
    common = ("eval", "-m", "toy", "-d", ".", *base[4:])
    assert call(*common, "--embed", "--importance", "probe", "--symbols", 4) == 2
    assert f"--symbols is no option of the codec calibrated; {OWN}\n" in capsys.readouterr().err


def test_the_earlier_spelling_of_importance_goes_on_with_a_notice(
    base: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*base, "--importance", "probe") == 0
    new = (tmp_path / "x.mids").read_bytes()
    capsys.readouterr()
    assert call(*base, "--places", "probe") == 0
    assert "--places is now --importance" in capsys.readouterr().err
    assert (tmp_path / "x.mids").read_bytes() == new
    assert call(*base, "--places", "probe", "--importance", "probe") == 2
    assert "--places is the earlier name of --importance: give one of them" in capsys.readouterr().err


def test_no_command_asks_a_network_that_is_not_there(
    base: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*base, "--importance", "network") == 2
    assert re.search("--importance 'network' needs the network's scores.* eval, push", capsys.readouterr().err)
    assert call("encode", "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "commands that have the network, as eval, push" in shown


def test_a_map_of_symbols_is_of_another_codec(base: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*base) == 0
    assert call("inspect", base[3], "--map", "p3:1", "-o", f"{base[3]}.png") == 2
    assert "a bitstream of the codec calibrated has no symbols of channels" in capsys.readouterr().err


def test_the_map_comes_from_the_probe_or_from_a_network_that_is_asked_for(
    base: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*base) == 0
    usual = (tmp_path / "x.mids").read_bytes()
    assert call(*base, "--importance", "probe") == 0
    assert (tmp_path / "x.mids").read_bytes() == usual
    capsys.readouterr()
    assert call(*base, "--importance", "auto") == 2
    assert "unknown source of the importance map 'auto'; valid: probe, network" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["encode", "decode", "inspect"])
def test_standard_input_is_one_thing(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = () if command == "inspect" else ("-o", tmp_path / "out.npz")
    codec = ("--codec", "calibrated") if command == "encode" else ()
    assert call(command, "-", *out, *codec, "--profile", "-") == 2
    assert "standard input (-) is given twice, for the input and for --profile" in capsys.readouterr().err


def test_a_profile_can_come_from_standard_input(
    base: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "x.profile").read_bytes())))
    assert call(*base[:-1], "-") == 0
    decoded = ms.decode((tmp_path / "x.mids").read_bytes(), profile=tmp_path / "x.profile")
    assert set(decoded) == set(profiles.pyramid())


def test_options_say_which_codec_is_meant(base: tuple[object, ...], tmp_path: Path) -> None:
    assert call(*base) == 0
    named = (tmp_path / "x.mids").read_bytes()
    assert call(*base[:4], *base[6:]) == 0
    assert (tmp_path / "x.mids").read_bytes() == named
    assert call(*base[:4], "--quality", 5, "--symbols", 4) == 2  # no codec has both


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("piped", [False, True])
def test_a_profile_can_be_looked_at(
    layers: int, piped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profile, source = profiles.profile(layers=layers), str(tmp_path / "x.profile")
    profile.write(source)
    if piped:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(_Drop(profile.data))))
        source = "-"
    assert call("inspect", source) == 0
    shown = capsys.readouterr().out
    assert f"profile {profile.name}, version {profile.about.version}, {len(profile.data):,} bytes" in shown
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
    for number, group in enumerate(profile.groups):
        own = "of the first group" if number >= max(layers, 1) else "its own"
        row = next(row for row in rows if row[0] == group.levels[0].about.name)
        assert row[2:] == [f"{len(group.levels[0].basis)}", f"{len(group.scales)}", own]
    assert ["60", f"{profile.step_of(60)}"] in [row[:2] for row in rows]


class _Drop(io.RawIOBase):
    """What comes a few bytes at a time, as from a slow pipe."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        part = self._data.read(min(len(buffer), 7))
        buffer[: len(part)] = part
        return len(part)


def test_a_profile_without_importance_has_no_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors, document = unpack_tensors(profiles.profile().data, "it")
    document["places"] = {"classes": 1, "spacing": 1, "knee": 0.5}
    left = {name: values for name, values in tensors.items() if "probe" not in name}
    (tmp_path / "x.profile").write_bytes(pack_tensors(left, document))
    assert call("inspect", tmp_path / "x.profile") == 0
    assert "none" in capsys.readouterr().out


def test_a_profile_in_json_is_its_document(base: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> None:
    profile = profiles.profile()
    assert call("inspect", base[-1], "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report.pop("profile"), report.pop("bytes")) == (profile.name, len(profile.data))
    assert [group.pop("coefficients") for group in report["groups"]] == [len(each.scales) for each in profile.groups]
    assert report == unpack_tensors(profile.data, "it")[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--map", "p3:1", "-o", "map.png"), "--map and --profile are for a bitstream: this is a profile"),
        (("--profile", "x.profile"), "--map and --profile are for a bitstream: this is a profile"),
        (("--plot", "bytes.png"), "--plot is of the file of a clip (.midv), which this is not"),
    ],
)
def test_options_that_are_not_for_profiles(
    base: tuple[object, ...], options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("inspect", base[-1], *options) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_profile_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.profile").write_bytes(profiles.profile().data[:-5])
    assert call("inspect", tmp_path / "x.profile") == 2
    assert "x.profile: not a readable .safetensors file" in capsys.readouterr().err
    write_pyramid(str(tmp_path / "x.safetensors"), profiles.pyramid())
    assert call("inspect", tmp_path / "x.safetensors") == 2
    assert "its header has no document 'midstream'" in capsys.readouterr().err
