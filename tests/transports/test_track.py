"""The aiortc track: what arrives at a peer, and what `recv` does when time, tasks or listeners misbehave."""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import create_task
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from numpy.typing import NDArray
from scipy.signal import correlate

from playback import AudioFormat, Outcome, PlaybackController, State
from playback.events import EVENTS, Event, LastAudioByte, Stalled
from playback.track import PlaybackTrack
from tests.signals import CUTS, Heard, ramp
from tests.transports.peers import RATE, Peers, connected

Wave = NDArray[np.float64]
SILENT = 30.0
"""RMS, in steps of 16 bits, that no speech stays below: what Opus makes of silence is far less."""
LOUD = 1000.0


def speech(seconds: float, rate: int) -> NDArray[np.int16]:
    """A voice-like sound that never repeats: gliding harmonics under an envelope of syllables."""
    at = np.arange(round(seconds * rate)) / rate
    pitch = 140 + 25 * at + 30 * np.sin(2 * np.pi * 0.7 * at)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in (2, 3, 4, 6, 9, 13))
    syllables = 0.25 + 0.75 * np.sin(2 * np.pi * 1.9 * at) ** 2
    return np.rint(8000 * syllables * voice).astype(np.int16)


def rms(audio: Wave) -> float:
    return float(np.sqrt(np.mean(audio**2)))


def band(audio: Wave | NDArray[np.int16], rate: int) -> Wave:
    """The band of speech, 200 to 3,400 Hz, at 48 kHz."""
    spectrum = np.fft.rfft(audio)
    at = np.fft.rfftfreq(len(audio), 1 / rate)
    spectrum[(at < 200) | (at > 3400)] = 0
    wave: Wave = np.fft.irfft(spectrum, len(audio))
    if rate == RATE:
        return wave
    old, new = np.arange(len(wave)) / rate, np.arange(len(wave) * RATE // rate) / RATE
    return np.interp(new, old, wave)


def similarity(sent: Wave, received: Wave) -> tuple[float, int]:
    """The normalized correlation where they fit best, and how many samples later that is."""
    lag = int(np.argmax(correlate(received, sent, "valid")))
    part = received[lag : lag + len(sent)]
    return float(np.dot(sent, part) / (np.linalg.norm(sent) * np.linalg.norm(part))), lag


async def until_loud(peers: Peers) -> None:
    while rms(await peers.receive(0.1)) < LOUD:
        pass


async def silence_comes(peers: Peers) -> bool:
    """Whether there is silence, once the 15 frames have arrived of which some may have been under way."""
    await peers.receive(0.3)
    return rms(await peers.receive(0.3)) < SILENT


# Over a peer connection


@pytest.mark.portable
@pytest.mark.parametrize(
    "format", [AudioFormat(24_000), AudioFormat(48_000), AudioFormat(48_000, 2)], ids=lambda f: f"{f}"
)
async def test_what_arrives_is_what_was_sent(format: AudioFormat) -> None:
    mono = AudioFormat(format.sample_rate)
    h = Heard(PlaybackController(format, input_format=mono))
    audio = speech(1.5, format.sample_rate)
    async with connected(PlaybackTrack(h.controller)) as peers:
        await peers.receive(0.2)
        begin = len(peers.arrivals)
        h.controller.push(audio)
        h.controller.end()
        await peers.receive(2.5)
        received = band(peers.audio(begin), RATE)
    match, lag = similarity(band(audio, format.sample_rate), received)
    assert match > 0.95
    assert lag < RATE  # at once, not when a buffer somewhere has filled


async def test_pause_resume_and_interrupt_are_heard_and_each_utterance_completes_once() -> None:
    h = Heard()
    controller = h.controller
    rate = controller.format.sample_rate
    audio = speech(2.5, rate)
    async with connected(PlaybackTrack(controller)) as peers:
        first = controller.utterance(id="first")
        first.push(audio)
        first.end()
        await until_loud(peers)

        controller.pause()
        played = first.played
        assert await silence_comes(peers)
        assert first.played == played
        begin = len(peers.arrivals)
        controller.resume()
        await until_loud(peers)
        rest = audio[played:]
        assert len(rest) > rate // 2
        await peers.receive(2.5)
        match, _ = similarity(band(rest, rate), band(peers.audio(begin), RATE))
        assert match > 0.95

        second = controller.utterance(id="second")
        second.push(audio)
        second.end()
        await until_loud(peers)
        controller.interrupt()
        assert await silence_comes(peers)

        third = controller.utterance(id="third")
        third.push(audio[: rate // 2])
        third.end()
        await until_loud(peers)
        async with asyncio.timeout(10):
            reports = [await utterance.wait() for utterance in (first, second, third)]
        assert await silence_comes(peers)
    assert [report.outcome for report in reports] == [Outcome.COMPLETED, Outcome.INTERRUPTED, Outcome.COMPLETED]
    completed = [event.utterance.id for event in h.events if isinstance(event, LastAudioByte)]
    assert completed == ["first", "third"]


def breaks(event: Event) -> None:
    raise ZeroDivisionError(event.name)


async def test_listeners_that_raise_do_not_end_the_track() -> None:
    controller = PlaybackController()
    track = PlaybackTrack(controller)
    for name in EVENTS:
        controller.on(name, breaks)
    async with connected(track) as peers:
        for _ in range(2):
            controller.push(speech(0.3, 48_000))
            controller.end()
            await until_loud(peers)
            assert await silence_comes(peers)
        assert track.readyState == "live"


@pytest.mark.portable
async def test_stop_ends_the_sender_and_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    before = asyncio.all_tasks()
    controller = PlaybackController()
    track = PlaybackTrack(controller)
    utterance = controller.utterance()
    utterance.push(speech(60, 48_000))
    waiter = create_task(utterance.wait())
    async with connected(track) as peers:
        await peers.receive(0.2)
        track.stop()
        assert controller.state is State.CLOSED
        assert (await waiter).outcome is Outcome.CLOSED
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_closing_the_connection_stops_the_track_and_closes_the_controller() -> None:
    before = asyncio.all_tasks()
    controller = PlaybackController()
    track = PlaybackTrack(controller)
    async with connected(track) as peers:
        await peers.receive(0.2)
        assert track.readyState == "live"
        await peers.sender.close()
        assert track.readyState == "ended"
        assert controller.state is State.CLOSED
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_controller_that_is_left_open_goes_on_over_the_next_connection() -> None:
    controller = PlaybackController()
    audio = speech(2, 48_000)
    utterance = controller.utterance()
    utterance.push(audio)
    utterance.end()
    async with connected(PlaybackTrack(controller, close_controller=False)) as peers:
        await until_loud(peers)
    played = utterance.played
    assert 0 < played < len(audio) // 2
    assert controller.state is State.SPEAKING
    async with connected(PlaybackTrack(controller)) as peers:
        await until_loud(peers)
        await peers.receive(2.0)
    # The first frames of a connection may be lost before its ends agree on their keys.
    match, _ = similarity(band(audio[-48_000:], RATE), band(peers.audio(), RATE))
    assert match > 0.95
    assert (await utterance.wait()).outcome is Outcome.COMPLETED


# Without a peer


def samples_of(frame: AudioFrame) -> list[int]:
    return [int(sample) for sample in frame.to_ndarray().reshape(-1)]


def steps(frames: list[AudioFrame]) -> list[int]:
    """By how many frames the timestamps go on."""
    stamps = [frame.pts for frame in frames if frame.pts is not None]
    assert len(stamps) == len(frames)
    steps = [divmod(after - before, frames[0].samples) for before, after in pairwise(stamps)]
    assert not any(rest for _, rest in steps)
    return [whole for whole, _ in steps]


@pytest.mark.portable
@pytest.mark.parametrize(
    ("format", "samples", "layout"),
    [
        (AudioFormat(8_000), 160, "mono"),
        (AudioFormat(22_050), 441, "mono"),
        (AudioFormat(24_000), 480, "mono"),
        (AudioFormat(48_000), 960, "mono"),
        (AudioFormat(48_000, 2), 960, "stereo"),
    ],
    ids=lambda value: f"{value}",
)
async def test_frames_hold_20_ms_in_the_controllers_format(format: AudioFormat, samples: int, layout: str) -> None:
    controller = PlaybackController(format)
    pushed = ramp(3 * samples * format.channels).reshape(-1, format.channels)
    controller.push(pushed)
    controller.end()
    track = PlaybackTrack(controller)
    frames = [await track.recv() for _ in range(4)]
    for frame in frames:
        assert (frame.samples, frame.sample_rate) == (samples, format.sample_rate)
        assert (frame.format.name, frame.layout.name) == ("s16", layout)
        assert frame.time_base == Fraction(1, format.sample_rate)
    assert frames[0].pts == 0
    assert steps(frames) == [1, 1, 1] or controller.stats.stalls
    # Read only now: had a frame been used again, the last one would be in all of them.
    played = [sample for frame in frames for sample in samples_of(frame)]
    assert played == [*pushed.reshape(-1).tolist(), *[0] * samples * format.channels]
    track.stop()


def test_a_rate_without_frames_of_20_ms_is_reported_and_claims_nothing() -> None:
    controller = PlaybackController(AudioFormat(11_025))
    with pytest.raises(ValueError, match="11025 Hz"):
        PlaybackTrack(controller)
    controller.attach(object())


@pytest.mark.parametrize("waiting", [False, True], ids=["between reads", "while a read waits"])
async def test_after_a_loop_was_blocked_it_skips_ahead_and_loses_no_audio(waiting: bool) -> None:
    h = Heard(PlaybackController(AudioFormat(24_000), fades=CUTS))
    h.controller.push(ramp(30_000))
    track = PlaybackTrack(h.controller)
    clock = asyncio.get_running_loop().time
    frames = [await track.recv() for _ in range(5)]
    h.events.clear()

    read = create_task(track.recv())
    if waiting:
        await asyncio.sleep(0)
    begin = clock()
    time.sleep(1)  # noqa: ASYNC251 - a loop that is blocked is the point
    resumed = clock()
    frames.append(await read)
    for number in range(2, 30):
        frames.append(await track.recv())
        # One is due at once and the next one within its 20 ms; a burst would bring 50.
        assert number * 0.020 <= clock() - resumed + 2 * 0.020 + 0.001

    stalls = [event.seconds for event in h.events if isinstance(event, Stalled)]
    assert [seconds for seconds in stalls if seconds > 0.5] == [pytest.approx(resumed - begin, abs=0.2)]
    assert min(steps(frames)) == 1
    assert steps(frames)[4] >= 48  # the first frame that comes after it is stamped with the time that it is then
    played = [sample for frame in frames for sample in samples_of(frame)]
    assert played == list(range(1, len(played) + 1))
    track.stop()


async def test_the_pace_is_that_of_the_clock() -> None:
    track = PlaybackTrack(PlaybackController())
    clock = asyncio.get_running_loop().time
    begin = clock()
    frames = [await track.recv() for _ in range(26)]
    assert clock() - begin >= 0.499
    pts = frames[-1].pts
    assert pts is not None
    assert pts / 48_000 <= clock() - begin + 0.001
    track.stop()


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
async def test_a_wall_clock_that_is_set_changes_nothing(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = PlaybackController()
    track = PlaybackTrack(controller)
    frames = [await track.recv() for _ in range(3)]
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    monkeypatch.setattr(time, "time_ns", lambda: round((now() + jump) * 1e9))
    async with asyncio.timeout(30):
        frames += [await track.recv() for _ in range(3)]
    assert max(steps(frames)) < 500
    assert controller.stats.stalled_seconds < 30
    track.stop()


@pytest.mark.portable
async def test_after_stop_recv_raises_what_aiortc_expects() -> None:
    track = PlaybackTrack(PlaybackController())
    await track.recv()
    track.stop()
    for _ in range(2):
        with pytest.raises(MediaStreamError):
            await track.recv()


@pytest.mark.portable
async def test_stop_ends_a_recv_that_waits() -> None:
    controller = PlaybackController()
    track = PlaybackTrack(controller)
    await track.recv()
    read = create_task(track.recv())
    await asyncio.sleep(0)
    position = controller.position
    track.stop()
    with pytest.raises(MediaStreamError):
        await asyncio.wait_for(read, 10)
    assert controller.position == position


def test_stop_twice_is_one_end() -> None:
    h = Heard()
    track = PlaybackTrack(h.controller)
    ended: list[str] = []
    track.on("ended", lambda: ended.append("ended"))
    track.stop()
    track.stop()
    assert (ended, h.emitted("closed")) == (["ended"], ["closed"])


async def test_a_listener_of_the_tracks_own_end_cannot_keep_the_controller_open() -> None:
    controller = PlaybackController()
    track = PlaybackTrack(controller)
    track.on("ended", lambda: 1 / 0)
    with suppress(ZeroDivisionError):
        track.stop()
    assert controller.state is State.CLOSED


@pytest.mark.portable
async def test_a_controller_has_one_track_that_is_read() -> None:
    controller = PlaybackController()
    first = PlaybackTrack(controller, close_controller=False)
    second = PlaybackTrack(controller)
    assert controller.reader is None
    await first.recv()
    assert controller.reader is first
    position = controller.position
    with pytest.raises(RuntimeError, match="one reader"):
        await second.recv()
    assert controller.position == position
    first.stop()
    await second.recv()
    first.stop()  # it has no say any more
    assert controller.leaf == "idle"
    second.stop()
    assert controller.leaf == "closed"


@pytest.mark.portable
async def test_a_track_that_nobody_read_does_not_close_what_another_one_reads() -> None:
    controller = PlaybackController()
    first, second = PlaybackTrack(controller), PlaybackTrack(controller)
    await second.recv()
    first.stop()
    assert controller.leaf == "idle"
    second.stop()
    assert controller.leaf == "closed"


@pytest.mark.portable
async def test_another_track_goes_on_at_the_very_next_sample() -> None:
    controller = PlaybackController(AudioFormat(24_000), fades=CUTS)
    controller.push(ramp(4 * 480))
    played: list[int] = []
    for _ in range(2):
        track = PlaybackTrack(controller, close_controller=False)
        played += [sample for _ in range(2) for sample in samples_of(await track.recv())]
        track.stop()
    assert played == list(range(1, 4 * 480 + 1))


@pytest.mark.portable
async def test_recv_never_raises_whatever_listeners_raise() -> None:
    controller = PlaybackController(AudioFormat(24_000))
    track = PlaybackTrack(controller)
    for name in EVENTS:
        controller.on(name, breaks)
    frames = []
    for step in ("push", "end", "pause", "resume", "push", "interrupt", "lock", "push", "unlock", "close", "push"):
        if step == "push":
            controller.push(ramp(700))
        else:
            getattr(controller, step)()
        frames += [await track.recv() for _ in range(2)]
        if step == "lock":
            time.sleep(0.1)  # noqa: ASYNC251 - for the event that reports a stall
    assert all(frame.samples == 480 for frame in frames)
    assert any(any(samples_of(frame)) for frame in frames)
    assert controller.stats.stalls
    track.stop()
