"""`midstream watch` as a program: its page, its tabs, who may connect, how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import cv2
import numpy as np
import psutil
import pytest
from tests.helpers import clips, watching
from tests.helpers.commands import call
from tests.helpers.watching import Program, Tab, rows, tab

from midstream.watch.server import MOST_TABS


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Arguments for the toy network with its profile."""
    described, profile = watching.toy_network(tmp_path_factory.mktemp("toy"))
    return ["-m", described, "--profile", profile, "--threads", 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_frames(tmp_path_factory.mktemp("clip") / "street", clips.frames(20))


@pytest.fixture(scope="module")
def program(network: list[object], folder: Path) -> Iterator[Program]:
    """One that goes on for ever."""
    with Program(folder, *network, "--loop", "--fps", 100) as program:
        yield program


async def _get(url: str, **headers: str) -> tuple[int, str, aiohttp.typedefs.LooseHeaders]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.text(), answer.headers


def test_the_page_is_one_file_that_loads_nothing_else(program: Program) -> None:
    status, text, headers = asyncio.run(_get(program.url))
    assert status == 200
    assert text.startswith("<!doctype html>")
    assert "/*script*/" not in text
    assert "/*style*/" not in text
    for outside in ("src=", "@import", "url(", 'rel="stylesheet"', "https://"):
        assert outside not in text, outside
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


def test_only_this_machines_own_names_are_answered(program: Program) -> None:
    port = program.host.partition(":")[2]
    for name in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST"):
        assert asyncio.run(_get(program.url, Host=f"{name}:{port}"))[0] == 200
        assert asyncio.run(_get(program.url, Host=f"{name}:9000"))[0] == 200  # a port that is forwarded
    for name in (f"evil.example:{port}", "evil.example", "", "localhost.evil.example", f"127.0.0.1.evil.example:{port}",
                 "localhost:80:80", "0.0.0.0"):  # fmt: skip
        status, text, _ = asyncio.run(_get(program.url, Host=name))
        assert (status, "this machine alone" in text) == (421, True), name
    assert asyncio.run(_get(f"{program.url}other"))[0] == 404


def test_it_is_there_on_both_loopback_addresses_and_on_no_other(program: Program) -> None:
    port = int(program.host.partition(":")[2])
    ours = psutil.Process(program.process.pid).net_connections()
    listening = {each.laddr.ip for each in ours if each.status == psutil.CONN_LISTEN}
    assert listening <= {"127.0.0.1", "::1"}
    assert "127.0.0.1" in listening
    for address in listening:
        shown = f"[{address}]" if ":" in address else address
        assert asyncio.run(_get(f"http://{shown}:{port}/"))[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "", "https://HOST", "HOST"])
def test_pages_of_others_cannot_connect(program: Program, origin: str) -> None:
    async def connect() -> None:
        async with tab(program.host, origin.replace("HOST", program.host)):
            pass

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        asyncio.run(connect())
    assert refused.value.status == 403


def test_a_tab_sees_frames_figures_and_what_its_orders_do(program: Program) -> None:
    async def watch() -> None:
        async with tab(program.host) as one:
            about = await one.hello()
            assert (about["network"], about["source"], about["codec"]) == ("toy", "street", "calibrated")
            assert about["beside"]["names"] == ["JPEG, quality 85", "x264, QP 22"]
            said = await one.until(lambda said: len(one.pictures) >= 3)
            image = cv2.imdecode(np.frombuffer(one.pictures[-1], np.uint8), cv2.IMREAD_COLOR)
            assert image.shape == (clips.HEIGHT, clips.WIDTH, 3)
            assert said["picture"][1:3] == [clips.WIDTH, clips.HEIGHT]
            said = await one.until(lambda said: said["points"])
            for row in rows(said):
                assert min(row["size"], row["jpeg"], row["x264"]) > 0
                assert min(row[stage] for stage in about["stages"]) > 0
            await _quality(one)
            await _pause(one)

    asyncio.run(watch())


async def _quality(one: Tab) -> None:
    await one.order("quality", 95)
    said = await one.until(lambda said: said["quality"] == 95 and said["points"])
    keys = said["keys"]
    await one.order("key")
    await one.until(lambda said: said["keys"] > keys and any(row["key"] for row in rows(said)))
    await one.order("bitrate", 64_000)
    said = await one.until(lambda said: said["bitrate"] == 64_000)
    assert said["quality"] is None
    await one.order("quality", 1000)
    said = await one.until(lambda said: said["refused"])
    assert said["refused"] == "a quality is from 1 to 100, not 1000"
    assert said["bitrate"] == 64_000
    await one.order("uncoded", True)
    kinds = ("agreement", "agreement_jpeg", "agreement_x264")
    said = await one.until(lambda said: any(all(0 <= (row[kind] or -1) <= 1 for kind in kinds) for row in rows(said)))
    await one.order("uncoded", False)


async def _pause(one: Tab) -> None:
    await one.order("pause", True)
    await one.until(lambda said: said["paused"] and said["idle_s"] > 0.5)
    frames = (await one.next())["frames"]
    assert (await one.next())["frames"] == frames
    await one.order("pause", False)
    await one.until(lambda said: said["frames"] > frames)


def test_a_slow_tab_gets_the_newest_frame_and_a_quick_one_does_not_wait_for_it(program: Program) -> None:
    async def watch() -> None:
        async with tab(program.host) as slow, tab(program.host) as quick:
            await slow.hello()
            await quick.hello()
            await slow.until(lambda said: slow.pictures)
            await quick.until(lambda said: len(quick.pictures) >= 30)
            await slow.next()
            await quick.next()
            assert slow.numbers[-1] >= quick.numbers[-2]
            assert len(slow.numbers) == 2
            assert (await quick.next())["tabs"] == 2
        async with tab(program.host) as last:
            await last.hello()
            await last.until(lambda said: said["tabs"] == 1)

    asyncio.run(watch())


def test_nothing_is_sent_that_was_not_asked_for(program: Program) -> None:
    async def watch() -> None:
        async with tab(program.host) as one, tab(program.host) as other:
            await one.hello()
            await other.hello()
            await one.next()
            await other.until(lambda said: len(other.pictures) >= 10)
            with pytest.raises(TimeoutError):
                await one.channel.receive(timeout=0.2)

    asyncio.run(watch())


@pytest.mark.parametrize("sent", ["", "hello", '{"do": "delete"}', '{"do": "key"}' + " " * 2000, b"\x00"])
def test_whoever_sends_something_else_is_shown_out(program: Program, sent: str | bytes) -> None:
    async def watch() -> int | None:
        async with tab(program.host) as one:
            await one.hello()
            await (one.channel.send_str(sent) if isinstance(sent, str) else one.channel.send_bytes(sent))
            async for _ in one.channel:
                pass
            return one.channel.close_code

    assert asyncio.run(watch()) in (1008, 1009)


def test_tabs_are_limited(program: Program) -> None:
    async def watch() -> None:
        async with aiohttp.ClientSession(headers={"Origin": program.url.rstrip("/")}) as session:
            open_tabs = [await session.ws_connect(f"{program.url}live") for _ in range(MOST_TABS)]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{program.url}live")
            assert refused.value.status == 503
            for each in open_tabs:
                await each.close()

    asyncio.run(watch())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_its_tabs(network: list[object], folder: Path, number: int) -> None:
    async def watch(program: Program) -> int | None:
        async with tab(program.host) as one:
            await one.hello()
            await one.until(lambda said: one.pictures)
            program.process.send_signal(number)
            async for _ in one.channel:
                pass
            return one.channel.close_code

    with Program(folder, *network) as program:
        with socket.create_connection(("127.0.0.1", int(program.host.partition(":")[2]))) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
            assert b" 400 " in raw.recv(100)
        assert asyncio.run(watch(program)) == 1001
        code, out, errors = program.left()
    assert (code, out) == (0, "")
    assert "a frame (JPEG takes " in errors.splitlines()[-1]
    assert "Traceback" not in errors  # for what was no HTTP


def test_once_ends_with_the_source_and_json_has_the_summary(network: list[object], folder: Path) -> None:
    with Program(folder, *network, "--once", "--every-frame", "--json", "--quiet") as program:
        code, out, errors = program.left()
    assert (code, errors) == (0, "")
    summary = json.loads(out)
    assert (summary["frames"], summary["keys"], summary["dropped"]) == (20, 1, 0)
    assert summary["jpeg_bytes"] > summary["bytes"] > 0
    assert 0 < summary["latency_p50_ms"] <= summary["latency_p99_ms"]


def test_of_a_file_that_has_ended_the_page_stays_and_plays_it_again(network: list[object], folder: Path) -> None:
    async def watch(program: Program) -> None:
        async with tab(program.host) as one:
            await one.hello()
            said = await one.until(lambda said: said["phase"] == "ended" and said["frames"])
            frames = said["frames"]
            assert 0 < frames <= 20
            await one.order("again")
            await one.until(lambda said: said["frames"] > frames)

    with Program(folder, *network, "--fps", 200, "--no-beside") as program:
        asyncio.run(watch(program))
        code, _, errors = program.end()
    assert code == 0
    assert "JPEG takes" not in errors


def test_unreadable_frames_and_other_sizes_go_by(network: list[object], folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "3.png").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "5.png"), np.zeros((200, 30, 3), np.uint8))
    with Program(tmp_path, *network, "--once", "--every-frame", "--json") as program:
        code, out, _ = program.left()
    summary = json.loads(out)
    assert code == 1
    assert (summary["frames"], summary["unreadable"], summary["failed"]) == (19, 1, 0)
    assert summary["keys"] == 3  # the first, that of another size, the one after it


def test_a_codec_without_choices_is_shown_as_it_is(network: list[object], folder: Path) -> None:
    async def watch(program: Program) -> None:
        async with tab(program.host) as one:
            about = await one.hello()
            assert about["can"] == {"quality": False, "bitrate": False}
            assert "symbols 4" in about["options"]
            assert about["beside"] is None
            await one.order("quality", 50)
            await one.until(lambda said: said["refused"] == "this codec has no quality to choose")

    with Program(folder, *network[:2], "--codec", "paper", "--symbols", 4, "--z", 1.5, "--no-beside") as program:
        asyncio.run(watch(program))


@pytest.fixture
def mistake(network: list[object], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line about arguments that cannot be used, of the toy's so many."""

    def said(source: object, *arguments: object, of: int = 6) -> str:
        assert call("watch", source, *network[:of], "--port", 0, *arguments) == 2
        out, errors = capsys.readouterr()
        assert out == ""
        assert errors.startswith("midstream: ")
        assert errors.count("\n") == 1
        return errors

    return said


def test_passwords_of_addresses_are_not_shown(mistake: Callable[..., str]) -> None:
    said = mistake("rtsp://user:secret@127.0.0.1:9/street")
    assert "secret" not in said
    assert "rtsp://127.0.0.1:9/street" in said


def test_a_port_that_is_taken_is_one_line(mistake: Callable[..., str], folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = mistake(folder, "--port", port)
    assert said == f"midstream: port {port} of 127.0.0.1 is in use; --port 0 takes any that is free\n"


def test_mistakes_are_one_line(mistake: Callable[..., str], folder: Path, tmp_path: Path) -> None:
    assert "--loop and --once" in mistake(folder, "--loop", "--once")
    assert "there is no" in mistake(tmp_path / "none.mp4")
    assert "--fps is a number above 0" in mistake(folder, "--fps", 0)
    assert "anchor size 'big'" in mistake(folder, "--anchor-size", "big")
    assert "give one of --bitrate and --quality" in mistake(folder, "--bitrate", "200kbit", "--quality", 60)
    assert "--bitrate" in mistake(folder, "--codec", "paper", "--bitrate", "1Mbit", of=2)
    assert "profile" in mistake(folder, of=2)
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in mistake(tmp_path / "empty")
