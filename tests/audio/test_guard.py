"""Files that name others: none of them is opened, by no way in."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import av
import pytest

from playback import AudioFormat, FormatError, PlaybackController
from playback.audio.media.decoding import decode
from playback.audio.media.untrusted import UntrustedDecoder
from playback.background.mixer import Background
from playback.sinks import RecorderSink
from tests.audio.hostile import Bait, lists
from tests.audio.watching import watching

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify and /proc are Linux's")

NAMES = list(lists(Bait("/folder", 1, 2)))
FORMAT = AudioFormat(24_000)


def test_the_watch_sees_what_ffmpeg_opens(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        for source in (io.BytesIO(lists(watch.bait)["ffconcat"]), f"http://127.0.0.1:{watch.bait.port}/a.wav"):
            with suppress(av.FFmpegError), av.open(source, options={"safe": "0"}, timeout=1):
                pass
        assert watch.opened() == ["a file of the bait was opened", "somebody has connected"]


@pytest.mark.parametrize("name", NAMES)
def test_the_decoder_opens_nothing(name: str, tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        data = lists(watch.bait)[name]
        for source in (data, io.BytesIO(data)):
            _drain(decode, source)
        assert watch.opened() == []


def _drain(function: Callable[[Any], Any], source: Any) -> None:
    with pytest.raises(FormatError):
        list(function(source))


@pytest.mark.parametrize("name", ["sdp", "m3u8 of m3u8", "ffconcat", "dash", "ffconcat behind MP4", NAMES[-1]])
def test_the_decoder_of_untrusted_files_opens_nothing(name: str, tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        _drain(UntrustedDecoder, lists(watch.bait)[name])
        opened = [what for what in watch.opened() if "open: " not in what]  # it starts a process
        assert opened == []


@pytest.mark.parametrize("name", [name for name in NAMES if "behind" not in name and "movie" not in name])
def test_background_raises_at_once_and_opens_nothing(name: str, tmp_path: Path) -> None:
    threads = threading.active_count()
    with watching(tmp_path) as watch:
        data = lists(watch.bait)[name]
        for untrusted in (False, True):
            with pytest.raises(FormatError, match=r"is text, expected audio|expected an audio container"):
                Background(FORMAT).add(io.BytesIO(data), untrusted=untrusted)
        assert watch.opened() == []
    assert threading.active_count() == threads


@pytest.mark.parametrize("name", ["sdp", "m3u8 of a file", "ffconcat", "dash", "concat", "ffconcat behind Ogg"])
@pytest.mark.parametrize("untrusted", [False, True])
async def test_speech_fails_and_opens_nothing(name: str, untrusted: bool, tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        data = lists(watch.bait)[name]

        async def pieces() -> Any:
            for at in range(0, len(data), 30):
                yield data[at : at + 30]

        cases: list[tuple[Any, Literal["encoded"] | None]]
        cases = [(io.BytesIO(data), None), (pieces(), None), (pieces(), "encoded")]
        for source, kind in cases:
            controller = PlaybackController(FORMAT)
            spoken = controller.speak(source, format=kind, text="Hello.", untrusted=untrusted)
            while spoken.report is None:
                controller.read(480)
                await asyncio.sleep(0.001)
            assert spoken.report.outcome.value == "failed"
            assert isinstance(spoken.report.error, FormatError)
            controller.close()
        opened = [what for what in watch.opened() if not (untrusted and "open: " in what)]
        assert opened == []


@pytest.mark.parametrize("path", ["file:{0}/secret.wav", "concat:{0}/secret.wav", "http://127.0.0.1:{1}/a.wav", "-"])
def test_a_path_is_a_path_and_no_address(path: str, tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        path = path.format(watch.bait.folder, watch.bait.port)
        for function in (decode, UntrustedDecoder):
            with pytest.raises(FileNotFoundError):
                list(function(path))
        with pytest.raises(FileNotFoundError):
            Background(FORMAT).add(path)
        assert [what for what in watch.opened() if path not in what] == []


@pytest.mark.parametrize(
    "name", ["tcp://127.0.0.1:{1}/a.wav", "http://127.0.0.1:{1}/a.mp3", "udp:127.0.0.1:{2}?a.wav", "concat:a.wav"]
)
def test_a_recording_goes_to_a_path_and_no_address(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with watching(tmp_path) as watch:
        path = name.format(watch.bait.folder, watch.bait.port, watch.bait.udp)
        if "/" in path:
            with pytest.raises(FileNotFoundError):
                RecorderSink(path)
        else:
            RecorderSink(path).close()
            assert Path(path).exists()
        assert [what for what in watch.opened() if "connected" in what or "socket" in what] == []


@pytest.mark.parametrize("suffix", ["m3u8", "mpd", "sdp", "rtp", "ffconcat", "tee", "avi", "png"])
def test_a_recording_is_one_file(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not that of an audio container"):
        RecorderSink(tmp_path / f"call.{suffix}")
    assert not list(tmp_path.iterdir())
