"""Background voices: what is heard, to the sample, whatever becomes of the speech."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, Fades, FormatError, PlaybackController
from playback.audio.limiter import Limiter
from playback.background.mixer import Background, BackgroundSound
from playback.events import ErrorRaised
from tests.signals import CUTS, FRAME, RATE, Heard, ramp, signal_to_noise, tone

pytestmark = pytest.mark.portable

FORMAT = AudioFormat(RATE)


def mixed(
    background: Background, frames: int, speech: int = 0, *, speaking: bool = False, paused: bool = False
) -> NDArray[np.int16]:
    """The next frames over speech of one level."""
    out = np.full((frames, FRAME), speech, np.int16)
    for frame in out:
        background.mix(frame.data.cast("B"), speaking=speaking, paused=paused)
    return out.reshape(-1)


def constant(level: int, seconds: float = 1.0) -> NDArray[np.int16]:
    return np.full(round(seconds * RATE), level, np.int16)


def steps(audio: NDArray[np.int16]) -> int:
    """The largest difference of neighbours."""
    return int(np.abs(np.diff(audio.astype(int))).max())


def test_a_sum_is_exact() -> None:
    background = Background(FORMAT)
    background.duck_db = 0
    background.add(ramp(3 * FRAME), gain_db=0, fade_seconds=0)
    background.add(ramp(3 * FRAME, 5_000), gain_db=0, fade_seconds=0)
    heard = mixed(background, 3, speech=-7, speaking=True)
    assert np.array_equal(heard, ramp(3 * FRAME) + ramp(3 * FRAME, 5_000) - 7)


def test_a_gain_is_rounded_once() -> None:
    background = Background(FORMAT)
    audio = tone(5 * FRAME, RATE)
    background.add(audio, fade_seconds=0)
    expected = np.rint(audio * 10 ** (-18 / 20) + 100.0)
    assert np.array_equal(mixed(background, 5, speech=100), expected)


def test_stereo_and_reads_of_any_size() -> None:
    audio = np.stack([ramp(4_000), -ramp(4_000)], axis=1)
    controller = PlaybackController(AudioFormat(RATE, 2))
    controller.background.add(audio, gain_db=0, fade_seconds=0)
    heard = np.concatenate([controller.read(size) for size in (1, 480, 7, 2_000, 480, 480, 552)])
    assert np.array_equal(heard, audio)


@pytest.mark.parametrize("size", [1, 7, 480, 1_000, 30_000])
def test_a_loop_at_the_same_rate_is_exact(size: int) -> None:
    background = Background(FORMAT)
    background.add(ramp(size), gain_db=0, fade_seconds=0)
    assert np.array_equal(mixed(background, 150), np.resize(ramp(size), 150 * FRAME))


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_a_loop_is_continuous_through_the_resampler(rate: int) -> None:
    background = Background(FORMAT)
    background.add(tone(rate // 100, rate), gain_db=0, fade_seconds=0, format=AudioFormat(rate))
    heard = mixed(background, 200)[FRAME:]
    assert signal_to_noise(heard, RATE) > 70


@pytest.mark.parametrize(("output", "source"), [(1, 2), (2, 1)])
def test_channels_are_converted(output: int, source: int) -> None:
    controller = PlaybackController(AudioFormat(RATE, output))
    controller.background.add(
        np.full((RATE, source), 1_000, np.int16), gain_db=0, fade_seconds=0, format=AudioFormat(RATE, source)
    )
    controller.read(FRAME)
    assert np.array_equal(controller.read(FRAME), np.full((FRAME, output), 1_000))


def test_a_source_that_ends_is_finished_within_its_last_frame() -> None:
    background = Background(FORMAT)
    voice = background.add(ramp(FRAME + 10), gain_db=0, loop=False, fade_seconds=0)
    assert mixed(background, 1)[-1] == FRAME
    assert not voice.is_finished
    last = mixed(background, 1)
    assert last[:10].tolist() == [*range(FRAME + 1, FRAME + 11)]
    assert not last[10:].any()
    assert voice.is_finished
    assert not background.is_active
    assert [voice.pause(), voice.resume(), voice.stop()] == [False] * 3


def test_it_makes_way_for_speech_and_comes_back() -> None:
    background = Background(FORMAT)
    background.duck_hold_seconds = 0
    background.add(constant(10_000), gain_db=0, fade_seconds=0)
    assert set(mixed(background, 2).tolist()) == {10_000}
    down = mixed(background, 10, speaking=True)
    low = round(10_000 * 10 ** (-12 / 20))
    assert down[3_600 - 2] > low
    assert set(down[3_600 - 1 :].tolist()) == {low}, "after 150 ms"
    assert steps(down) <= 3
    up = mixed(background, 40)
    assert up[14_400 - 3] < 10_000
    assert set(up[14_400 - 1 :].tolist()) == {10_000}, "after 600 ms"
    assert steps(np.concatenate([down[-1:], up])) <= 1


@pytest.mark.parametrize(("duck_db", "level"), [(0, 10_000), (20, 1_000), (float("inf"), 0)])
def test_how_much_it_makes_way_is_set(duck_db: float, level: int) -> None:
    background = Background(FORMAT)
    background.add(constant(10_000), gain_db=0, fade_seconds=0)
    mixed(background, 1, speaking=True)
    background.duck_db = duck_db
    assert background.duck_db == duck_db
    assert steps(mixed(background, 8, speaking=True)) <= 3
    assert set(mixed(background, 2, speaking=True).tolist()) == {level}


def test_a_controller_ducks_while_speech_sounds_and_only_then() -> None:
    controller = PlaybackController(FORMAT, fades=CUTS)
    controller.background.add(constant(10_000), gain_db=0, fade_seconds=0)
    controller.push(np.zeros(20 * FRAME, np.int16))
    controller.end()
    for _ in range(20):
        heard = controller.read(FRAME)
    assert set(heard[:, 0].tolist()) == {round(10_000 * 10 ** (-12 / 20))}
    for _ in range(25):
        heard = controller.read(FRAME)
    assert set(heard[:, 0].tolist()) == {round(10_000 * 10 ** (-12 / 20))}, "it stays down for 500 ms"
    for _ in range(31):
        heard = controller.read(FRAME)
    assert set(heard[:, 0].tolist()) == {10_000}


@pytest.mark.parametrize("fades", [CUTS, Fades()])
@pytest.mark.parametrize("quiet", ["pause", "interrupt", "end"])
def test_the_background_comes_back_however_the_speech_falls_silent(quiet: str, fades: Fades) -> None:
    controller = PlaybackController(FORMAT, fades=fades)
    controller.background.add(constant(10_000), gain_db=0, fade_seconds=0)
    controller.push(np.zeros((20 if quiet == "end" else 50) * FRAME, np.int16))
    for _ in range(20):
        heard = controller.read(FRAME)
    assert set(heard[:, 0].tolist()) == {round(10_000 * 10 ** (-12 / 20))}
    getattr(controller, quiet)()
    for _ in range(60):
        heard = controller.read(FRAME)
    assert set(heard[:, 0].tolist()) == {10_000}


def every_state(controller: PlaybackController, read: Callable[[int], None]) -> None:
    """Take a controller through all that can happen to speech, reading in each."""
    read(3)
    utterance = controller.utterance()
    utterance.push(np.zeros(5 * FRAME, np.int16))
    read(3)
    controller.pause()
    read(3)
    controller.resume()
    read(2)
    read(3)  # an underrun
    utterance.push(np.zeros(5 * FRAME, np.int16))
    read(2)
    controller.interrupt(lock=True)
    read(2)
    assert controller.push(np.zeros(FRAME, np.int16)) == 0
    read(2)
    controller.unlock()
    controller.push(np.zeros(FRAME + 1, np.int16))
    controller.end()
    read(3)


def test_it_sounds_on_whatever_becomes_of_the_speech() -> None:
    case = Heard(PlaybackController(FORMAT, fades=Fades()))
    case.controller.background.duck_db = 0
    case.controller.background.add(ramp(30_000), gain_db=0, fade_seconds=0)
    heard: list[int] = []
    every_state(case.controller, lambda frames: heard.extend(case.read(frames * FRAME)))
    names = case.emitted()
    assert {"paused", "resumed", "underrun", "interrupted", "input_locked", "audio_refused"} <= set(names)
    assert heard == ramp(len(heard)).tolist(), "every sample exactly once"


def read_of(case: Heard) -> Callable[[int], None]:
    """Reads so many frames."""

    def read(frames: int) -> None:
        for _ in range(frames):
            case.read()

    return read


def test_it_changes_no_event_and_no_report() -> None:
    emitted = []
    for audible in (False, True):
        case = Heard(PlaybackController(FORMAT))
        if audible:
            case.controller.background.add(constant(9_000), gain_db=0)
        every_state(case.controller, read_of(case))
        events = [(event.name, event.position, getattr(event, "report", None)) for event in case.events]
        emitted.append(
            [(name, position, report and (report.played, report.outcome)) for name, position, report in events]
        )
    assert emitted[0] == emitted[1]
    assert len(emitted[0]) > 10


def test_it_follows_a_pause_if_that_is_switched_on() -> None:
    case = Heard()
    background = case.controller.background
    background.follow_pause = True
    voice = background.add(ramp(30_000), gain_db=0, fade_seconds=0)
    case.read()
    case.controller.pause()
    falling = case.read(FRAME + 100)
    assert not any(case.read() + falling[FRAME - 1 :])
    assert voice._source.buffer.cursor == 2 * FRAME, "what the ramp took, and no more"
    case.controller.resume()
    case.read()
    assert case.read() == ramp(FRAME, 3 * FRAME + 1).tolist()
    case.controller.pause()
    case.read(2 * FRAME)
    voice.stop()
    case.read()
    assert voice.is_finished


def test_pause_and_resume_have_no_step_and_lose_nothing() -> None:
    background = Background(FORMAT)
    voice = background.add(constant(10_000), gain_db=0, fade_seconds=0)
    audio = [mixed(background, 1)]
    assert voice.pause()
    assert not voice.pause()
    audio.append(mixed(background, 3))
    assert not audio[-1][FRAME - 1 :].any()
    assert voice._source.buffer.cursor == 2 * FRAME, "nothing is taken once the ramp is over"
    assert voice.resume()
    assert not voice.resume()
    audio.append(mixed(background, 2))
    assert audio[-1][-1] == 10_000
    assert steps(np.concatenate(audio)) <= 10_000 // FRAME + 1


def test_a_paused_voice_goes_on_at_the_very_next_sample() -> None:
    background = Background(FORMAT)
    voice = background.add(ramp(30_000), gain_db=0, fade_seconds=0)
    mixed(background, 1)
    voice.pause()
    out = np.zeros(FRAME + 333, np.int16)  # the ramp ends within the frame
    background.mix(out.data.cast("B"), speaking=False, paused=False)
    assert voice._source.buffer.cursor == 2 * FRAME
    voice.resume()
    mixed(background, 1)
    assert np.array_equal(mixed(background, 1), ramp(FRAME, 3 * FRAME + 1))


def test_fades_have_no_step() -> None:
    background = Background(FORMAT)
    voice = background.add(constant(10_000), gain_db=0, fade_seconds=0.1)
    rising = mixed(background, 6)
    assert rising[0] < 10
    assert rising[2_400 - 1] == 10_000
    voice.gain_db = -6
    assert voice.gain_db == -6
    softer = mixed(background, 2)
    assert softer[-1] == round(10_000 * 10 ** (-6 / 20))
    assert voice.stop(fade_seconds=0.1)
    assert voice.stop(fade_seconds=5), "the shorter fade counts"
    falling = mixed(background, 5)
    assert falling[-1] == 0
    assert voice.is_finished
    assert steps(np.concatenate([rising, softer, falling])) <= 5_000 // FRAME + 2


def test_what_does_not_sound_stops_at_once() -> None:
    background = Background(FORMAT)
    unheard = background.add(constant(1_000))
    paused = background.add(constant(1_000))
    cut = background.add(constant(1_000))
    mixed(background, 1)
    paused.pause()
    mixed(background, 1)
    later = background.add(constant(1_000))
    unheard.stop(0), paused.stop(), cut.stop(0), later.stop()
    assert unheard.is_finished
    assert paused.is_finished
    assert cut.is_finished
    assert later.is_finished
    assert not mixed(background, 1).any()
    assert not background.is_active


def test_a_stop_during_a_pause_ramp_ends_with_it() -> None:
    background = Background(FORMAT)
    voice = background.add(constant(1_000), fade_seconds=0)
    mixed(background, 1)
    voice.pause()
    voice.stop(2)
    mixed(background, 2)
    assert voice.is_finished


def test_live_audio() -> None:
    background = Background(FORMAT)
    voice = background.stream(FORMAT, gain_db=0, fade_seconds=0)
    assert not mixed(background, 2).any()
    assert voice.push(ramp(700).tobytes() + b"\x01") == 700
    first = mixed(background, 2)
    assert np.array_equal(first[:700], ramp(700))
    assert not first[820:].any(), "it was late, and has faded out"
    assert voice.push(b"\x02" + bytes(2 * FRAME)) == FRAME + 1, "the odd byte is completed"
    assert voice.push(ramp(10)) == 10
    assert voice.end()
    assert not voice.end()
    assert voice.push(ramp(10)) == 0
    rest = mixed(background, 2)
    assert rest[0] == round(0x201 / 120), "it fades in"
    assert rest[FRAME + 1 : FRAME + 11].tolist() == ramp(10).tolist()
    assert voice.is_finished
    assert voice.push(ramp(10)) == 0


def test_live_audio_fades_in_with_its_first_sample() -> None:
    background = Background(FORMAT)
    voice = background.stream(gain_db=0, fade_seconds=0.1)
    mixed(background, 50)
    voice.push(constant(10_000))
    heard = mixed(background, 6)
    assert 0 < heard[0] < 10
    assert steps(heard) <= 5


@pytest.mark.parametrize("rate", [RATE, 48_000, 8_000])
def test_live_audio_is_bounded(rate: int) -> None:
    voice = Background(FORMAT).stream(AudioFormat(rate))
    assert voice.push(np.zeros(9 * rate, np.int16)) == 9 * RATE
    assert voice.push(np.zeros(9 * rate, np.int16)) == RATE
    assert voice.push(np.zeros(9 * rate, np.int16)) == 0


def test_two_signals_of_full_scale_stay_in_range_and_keep_their_sign() -> None:
    loud = tone(RATE, RATE, 440.0, 1.0)
    controller = PlaybackController(FORMAT)
    controller.background.duck_db = 0
    controller.background.add(loud, gain_db=0, fade_seconds=0)
    controller.push(loud)
    heard = controller.read(RATE)[:, 0].astype(int)
    assert (np.sign(heard) == np.sign(loud)).all()
    assert (heard.min(), heard.max()) == (-32_768, 32_767)
    for extreme in (32_767, -32_768):
        background = Background(FORMAT)
        for _ in range(3):
            background.add(constant(extreme), gain_db=0, fade_seconds=0)
        assert set(mixed(background, 3, speech=extreme).tolist()) == {extreme}


def distortion(audio: NDArray[np.int16], hertz: int) -> float:
    """All that is not the tone, against it; whole seconds."""
    spectrum = np.abs(np.fft.rfft(audio.astype(float))) ** 2
    bin_ = hertz * len(audio) // RATE
    return float(np.sqrt((spectrum.sum() - spectrum[0] - spectrum[bin_]) / spectrum[bin_]))


def test_the_limiter_bends_no_wave() -> None:
    background = Background(FORMAT)
    background.add(tone(RATE, RATE, 1_000.0, 1.0), gain_db=1, fade_seconds=0)
    heard = mixed(background, 100)
    assert distortion(heard[:RATE], 1_000) < 0.01
    assert distortion(heard[RATE:], 1_000) < 0.005
    clipped = np.clip(tone(RATE, RATE, 1_000.0, 1.0) * 10 ** (1 / 20), -32_768, 32_767).astype(np.int16)
    assert distortion(clipped, 1_000) > 0.01, "which clipping would"


def test_the_limiter_lets_go_slowly_and_wholly() -> None:
    background = Background(FORMAT)
    loud = background.add(constant(30_000), gain_db=0, fade_seconds=0)
    assert set(mixed(background, 2, speech=20_000).tolist()) == {32_767}
    loud.stop(0)
    after = mixed(background, 1, speech=20_000)
    assert 13_000 < after[0] < 13_200
    assert background.is_active, "or the speech would jump"
    for _ in range(20):
        after = np.concatenate([after, mixed(background, 1, speech=20_000)])
    assert steps(after) <= 6
    assert after[-1] == 20_000
    assert not background.is_active


def test_a_limit_is_the_same_in_frames_of_any_size() -> None:
    audio = np.random.default_rng(3).normal(0, 30_000, (5_000, 2))
    whole, pieces = audio.copy(), audio.copy()
    Limiter(AudioFormat(RATE, 2)).apply(whole)
    limiter = Limiter(AudioFormat(RATE, 2))
    for start in range(0, 5_000, 77):
        limiter.apply(pieces[start : start + 77])
    assert np.allclose(whole, pieces)
    assert np.allclose(whole[:, 0] * audio[:, 1], whole[:, 1] * audio[:, 0]), "both channels by the same gain"


def test_without_a_voice_speech_is_untouched() -> None:
    controller = PlaybackController(FORMAT)
    voice = controller.background.add(constant(1_000), gain_db=0)
    speech = np.random.default_rng(1).integers(-32_768, 32_768, RATE).astype(np.int16)
    voice.pause()
    controller.read(FRAME)
    controller.push(speech)
    controller.read(FRAME), controller.read(FRAME)
    assert np.array_equal(controller.read(FRAME)[:, 0], speech[2 * FRAME : 3 * FRAME]), "nor by one that is paused"
    voice.stop(0)
    assert np.array_equal(controller.read(FRAME)[:, 0], speech[3 * FRAME : 4 * FRAME])


def test_one_that_fails_is_reported_and_silences_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Heard()
    broken = case.controller.background.add(ramp(30_000), fade_seconds=0)
    case.controller.background.add(ramp(30_000), gain_db=0, fade_seconds=0)
    case.read()

    def fail(*_: object) -> bool:
        raise RuntimeError("torn")

    monkeypatch.setattr(broken, "render", fail)
    assert case.read() == ramp(FRAME, FRAME + 1).tolist()
    (event,) = (event for event in case.events if isinstance(event, ErrorRaised))
    assert str(event.exception) == "torn"
    assert broken.is_finished
    assert case.read() == ramp(FRAME, 2 * FRAME + 1).tolist()


def test_a_failure_that_nobody_listens_to_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    background = Background(FORMAT)
    voice = background.add(ramp(10))
    monkeypatch.setattr(voice, "_source", None)
    with caplog.at_level(logging.ERROR), pytest.raises(AttributeError):
        mixed(background, 1)
    monkeypatch.undo()
    voice._source.error = RuntimeError("torn")
    voice.finish()
    mixed(background, 1)
    assert "torn" in caplog.text


def test_after_close_all_is_silent() -> None:
    controller = PlaybackController(FORMAT)
    voice = controller.background.add(constant(10_000), gain_db=0, fade_seconds=0)
    assert controller.read(FRAME).any()
    controller.close()
    assert not controller.read(FRAME).any()
    assert voice.is_finished
    late = controller.background.add(constant(10_000), gain_db=0, fade_seconds=0)
    live = controller.background.stream()
    assert late.is_finished
    assert live.push(ramp(10)) == 0
    assert not controller.read(FRAME).any()


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (b"", {}, FormatError, "empty"),
        (np.zeros((0, 1), np.int16), {}, FormatError, "empty"),
        (b"123", {}, FormatError, "3 bytes, expected a multiple of 2"),
        (np.array([np.nan], np.float32), {}, FormatError, "nan"),
        (np.zeros((5, 3), np.int16), {}, FormatError, r"\(5, 3\)"),
        (7, {}, FormatError, "int"),
        (None, {}, FormatError, "NoneType"),
        (ramp(10), {"gain_db": float("nan")}, ValueError, "gain_db is nan"),
        (ramp(10), {"gain_db": 61}, ValueError, "61"),
        (ramp(10), {"gain_db": "loud"}, TypeError, "gain_db is 'loud'"),
        (ramp(10), {"fade_seconds": -1}, ValueError, "fade_seconds is -1"),
        (ramp(10), {"fade_seconds": None}, TypeError, "fade_seconds is None"),
        (ramp(10), {"loop": "yes"}, TypeError, "loop is 'yes'"),
        (ramp(10), {"format": 8_000}, TypeError, "format is 8000"),
        ("music.ogg", {"format": FORMAT}, ValueError, "a file states its own"),
    ],
)
def test_what_can_not_be_added(source: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    background = Background(FORMAT)
    with pytest.raises(error, match=message):
        background.add(source, **options)
    assert not background.is_active


def test_what_can_not_be_set() -> None:
    background = Background(FORMAT)
    voice: BackgroundSound = background.add(constant(1_000))
    mixed(background, 1)
    value: Any
    for value, error in ((float("nan"), ValueError), (61, ValueError), ("loud", TypeError)):
        with pytest.raises(error, match="gain_db is"):
            voice.gain_db = value
    for value, error in ((float("nan"), ValueError), (-1, ValueError), (None, TypeError)):
        with pytest.raises(error, match="duck_db is"):
            background.duck_db = value
    with pytest.raises(ValueError, match="fade_seconds is -1"):
        voice.stop(-1)
    with pytest.raises(TypeError, match="format is 8000"):
        background.stream(8_000)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="expected bytes"):
        background.stream().push("text")
    assert (voice.gain_db, background.duck_db, voice.is_finished) == (-18, 12, False)


def test_what_begins_in_a_held_pause_is_held_from_its_first_sample() -> None:
    controller = PlaybackController(FORMAT, fades=CUTS)
    controller.background.follow_pause = True
    controller.pause()
    controller.read(FRAME)
    controller.background.add(constant(10_000), gain_db=0, fade_seconds=0)
    assert not controller.read(FRAME).any()
    controller.resume()
    controller.read(FRAME)
    assert (controller.read(FRAME) == 10_000).all()


def test_what_begins_beneath_speech_begins_ducked() -> None:
    controller = PlaybackController(FORMAT, fades=CUTS)
    assert not controller.background.is_active
    controller.push(np.zeros(20 * FRAME, np.int16))
    for _ in range(5):
        controller.read(FRAME)
    controller.background.add(constant(10_000), gain_db=0, fade_seconds=0)
    assert set(controller.read(FRAME)[:, 0].tolist()) == {round(10_000 * 10 ** (-12 / 20))}


def test_live_audio_keeps_its_place_when_some_of_it_does_not_fit() -> None:
    controller = PlaybackController(FORMAT, fades=CUTS)
    live = controller.background.stream(gain_db=0, fade_seconds=0)
    audio = constant(100).tobytes() * 2
    live.push(bytes(2 * 10 * FORMAT.sample_rate))
    assert live.push(audio[: FRAME + 1]) == 0
    for _ in range(10 * FORMAT.sample_rate // FRAME):
        controller.read(FRAME)
    live.push(audio[FRAME + 1 : 3 * FRAME + 1])
    assert (controller.read(FRAME // 2) == 100).all()
