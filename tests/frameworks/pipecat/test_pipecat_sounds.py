"""Audio of any kind and format, its volume, and what sounds beneath it."""

from pathlib import Path

import numpy as np
import pytest
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    MixerEnableFrame,
    MixerUpdateSettingsFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputDTMFUrgentFrame,
    OutputTransportMessageFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    VolumeFrame,
    VolumeGainFrame,
)
from pipecat_fakes import RATE, conversation, settle, until
from test_pipecat_frames import SPEECH, raised, tts

from playback.integrations.pipecat import PlaybackMixer, PlaybackPauseFrame


async def test_sounds_of_no_context() -> None:
    async with conversation() as talk:
        sound = OutputAudioRawFrame(SPEECH[:500].tobytes(), RATE, 1)
        await talk.synthesized(sound, sound, raised())
        await talk.read(0.06)
        assert len(np.flatnonzero(talk.below.audio())) == 1_000
        assert talk.below.speaking == []  # it is not speech
        assert talk.below.names(OutputTransportMessageFrame)


async def test_audio_without_a_context_id() -> None:
    async with conversation() as talk:
        for _ in range(2):
            audio = TTSAudioRawFrame(SPEECH.tobytes(), RATE, 1)
            await talk.synthesized(TTSStartedFrame(), audio, TTSStoppedFrame())
        assert (await talk.read(0.4)).all()
        assert talk.below.speaking == [True, False, True, False]
        await talk.synthesized(TTSStartedFrame(), TTSAudioRawFrame(SPEECH.tobytes(), RATE, 1))
        await talk.interrupt()
        assert not (await talk.read(0.2)).any()
        await talk.synthesized(TTSAudioRawFrame(SPEECH.tobytes(), RATE, 1))
        assert (await talk.read(0.2)).all()


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 2), (24_000, 2), (22_050, 1)])
async def test_audio_of_any_format(rate: int, channels: int) -> None:
    async with conversation() as talk:
        audio = np.full(rate // 5 * channels, 1_000, np.int16).tobytes()
        frame = TTSAudioRawFrame(audio, rate, channels, context_id="context")
        await talk.synthesized(TTSStartedFrame(context_id="context"), frame, TTSStoppedFrame(context_id="context"))
        heard = await talk.read(0.24)
        assert abs(np.count_nonzero(heard) - 4_800) <= 20
        assert talk.below.speaking == [True, False]


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (48_000, 1), (16_000, 2)])
@pytest.mark.parametrize("size", [1, 333])
async def test_a_sample_may_be_split_between_two_frames(rate: int, channels: int, size: int) -> None:
    async with conversation() as talk:
        audio = np.full(480 * channels, 1_000, np.int16).tobytes()
        pieces = [audio[start : start + size] for start in range(0, len(audio), size)]
        frames = [TTSAudioRawFrame(piece, rate, channels, context_id="context") for piece in pieces]
        await talk.synthesized(TTSStartedFrame(context_id="context"), *frames, TTSStoppedFrame(context_id="context"))
        await until(lambda: "TTSStoppedFrame" in talk.above.names())
        await settle()
        heard = await talk.read(0.04)
        samples = 480 * RATE // rate
        assert len(np.flatnonzero(heard)) == samples
        np.testing.assert_allclose(heard[40 : samples - 40], 1_000, atol=2)  # a byte off, it would be noise


async def test_a_stream_of_speech_and_silence() -> None:
    async with conversation() as talk:
        speech, silence = (SpeechOutputAudioRawFrame(audio.tobytes(), RATE, 1) for audio in (SPEECH, SPEECH * 0))
        await talk.synthesized(silence, speech, silence, raised(), speech, silence, silence, silence, speech)
        await talk.read(0.18)
        assert talk.below.speaking == []
        await talk.read(0.2)
        assert talk.below.speaking == [True]
        await talk.read(0.3)
        assert talk.below.names(OutputTransportMessageFrame)
        await talk.read(0.1 + 0.2)
        assert talk.below.speaking == [True]
        await talk.read(0.22)
        assert talk.below.speaking == [True, False]
        await talk.read(0.4)
        assert talk.below.speaking == [True, False, True]
        await talk.interrupt()
        assert talk.below.speaking == [True, False, True, False]


async def test_the_volume() -> None:
    async with conversation() as talk:
        await talk.synthesized(
            *tts(), VolumeFrame(0.5), *tts(context="soft"), VolumeGainFrame(0.5), *tts(context="low")
        )
        await talk.synthesized(VolumeFrame(0.0), *tts(context="mute"))
        heard = (await talk.read(0.8)).reshape(4, -1)
        assert [list(set(part[1_440:])) for part in heard] == [[1_000], [500], [250], [0]]
        await talk.synthesized(*tts(context="more"), VolumeFrame(1.0), VolumeGainFrame(1.0))
        await talk.interrupt()  # it does not drop them
        assert talk.controller.gain_db == 0.0
        assert not talk.below.names(VolumeFrame, VolumeGainFrame)


async def test_the_mixer() -> None:
    sounds = {"hum": np.full(24_000, 100, np.int16), "rain": np.full(24_000, 50, np.int16)}
    async with conversation(mixer=PlaybackMixer(sounds, "hum", volume=1.0)) as talk:
        talk.controller.background.duck_db = 0.0
        assert (await talk.read(0.4))[-1] == 100
        await talk.synthesized(*tts())
        assert (await talk.read(0.1))[-1] == 1_100
        await talk.queue(PlaybackPauseFrame())
        assert (await talk.read(0.1))[-1] == 100  # it sounds on
        await talk.interrupt()
        assert (await talk.read(0.1))[-1] == 100
        await talk.synthesized(MixerUpdateSettingsFrame({"volume": 0.5}))
        assert (await talk.read(0.1))[-1] == 50
        await talk.synthesized(MixerUpdateSettingsFrame({"sound": "rain", "volume": 1.0, "loop": False}))
        assert (await talk.read(0.4))[-1] == 50
        await talk.synthesized(MixerEnableFrame(False))
        assert (await talk.read(0.1))[-1] == 0
        await talk.synthesized(MixerEnableFrame(True), MixerUpdateSettingsFrame({"sound": "unknown"}))
        assert (await talk.read(0.1))[-1] == 50
        assert len(talk.below.audio())  # recorders hear it, too
        assert talk.below.speaking == [True, False]


@pytest.mark.parametrize("pump", [False, True])
async def test_a_background_that_can_not_be_played_silences_nobody(
    pump: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text.ogg").write_text("no audio")
    sounds = {"gone": tmp_path / "gone.ogg", "text": tmp_path / "text.ogg", "hum": np.full(24_000, 100, np.int16)}
    async with conversation(mixer=PlaybackMixer(sounds, "gone", volume=1.0), pump=pump) as talk:
        assert talk.above.up  # the output has reported that it is ready
        await talk.synthesized(*tts())
        if pump:
            await until(lambda: False in talk.below.speaking)
            return
        talk.controller.background.duck_db = 0.0
        assert (await talk.read(0.2)).all()
        await talk.synthesized(MixerUpdateSettingsFrame({"sound": "hum"}))
        assert (await talk.read(0.4))[-1] == 100
        await talk.synthesized(MixerUpdateSettingsFrame({"sound": "text"}))
        assert (await talk.read(0.4))[-1] == 100  # rather the old one than none
    assert "can't play the sound 'gone'" in caplog.text
    assert "can't play the sound 'text'" in caplog.text


async def test_mixer_frames_without_a_mixer_are_for_somebody_else() -> None:
    async with conversation() as talk:
        await talk.synthesized(MixerEnableFrame(True))
        assert talk.below.names(MixerEnableFrame)
    with pytest.raises(ValueError, match="expected one of hum"):
        PlaybackMixer({"hum": SPEECH}, "rain")


async def test_tones() -> None:
    async with conversation() as talk:
        await talk.synthesized(*tts(), OutputDTMFFrame(buttons=[KeypadEntry.ONE]))
        await until(lambda: talk.controller.buffered > 4_800)
        tone = (await talk.read(0.4))[4_800:]
        assert np.abs(tone).max() > 1_000
        await talk.synthesized(*tts(context="next"), OutputDTMFUrgentFrame(buttons=[KeypadEntry.TWO]))
        await until(lambda: talk.controller.background.is_active)
        heard = await talk.read(0.2)
        assert len(set(heard)) > 100  # both at once
