"""Every frame that the framework's own output knows, and every call that it may make of a processor."""

import ast
import inspect
import textwrap

import numpy as np
import pytest
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames import frames as pipecat_frames
from pipecat.frames.frames import (
    BotSpeakingFrame,
    EndFrame,
    FilterEnableFrame,
    Frame,
    HeartbeatFrame,
    InterruptionFrame,
    MixerEnableFrame,
    MixerUpdateSettingsFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputDTMFUrgentFrame,
    OutputImageRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    SpeechOutputAudioRawFrame,
    SpriteFrame,
    StopFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    VolumeFrame,
    VolumeGainFrame,
)
from pipecat.processors.audio.audio_buffer_processor import AudioBufferProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports import base_output
from pipecat_fakes import RATE, Conversation, conversation, settle, until

from playback import PlaybackController
from playback.integrations.pipecat import PlaybackMixer, PlaybackOutput, PlaybackPauseFrame, PlaybackResumeFrame

SPEECH = np.full(4_800, 1_000, np.int16)  # 200 ms

# What the framework's output knows, and where it is shown here what becomes of it.
KNOWN = {
    "AssistantImageRawFrame": "waits for the audio only if it says so, as OutputImageRawFrame",
    "BotSpeakingFrame": "test_pipecat_turns: what the framework above hears",
    "BotStartedSpeakingFrame": "test_pipecat_turns: a turn to its end",
    "BotStoppedSpeakingFrame": "test_pipecat_turns: a turn to its end",
    "CancelFrame": "shutdown while speaking",
    "EndFrame": "the end of the pipeline drains",
    "FilterControlFrame": "passes in order",
    "Frame": "all of them",
    "InterruptionFrame": "test_pipecat_turns",
    "MixerControlFrame": "the mixer",
    "OutputAudioRawFrame": "sounds of no context",
    "OutputDTMFFrame": "tones",
    "OutputDTMFUrgentFrame": "urgent tones",
    "OutputImageRawFrame": "images",
    "OutputTransportMessageFrame": "passes in order",
    "OutputTransportMessageUrgentFrame": "passes at once",
    "OutputTransportReadyFrame": "test_pipecat_turns: what the framework above hears",
    "SpeechOutputAudioRawFrame": "a stream of speech and silence",
    "SpriteFrame": "images",
    "StartFrame": "every test",
    "SystemFrame": "passes at once",
    "TTSAudioRawFrame": "test_pipecat_turns",
    "TTSStoppedFrame": "test_pipecat_turns: a turn to its end",
    "VolumeFrame": "the volume",
    "VolumeGainFrame": "the volume",
}


def tts(audio: np.ndarray = SPEECH, context: str = "context", *, interruptible: bool = True) -> list[Frame]:
    """A whole context."""
    frames = [
        TTSStartedFrame(context_id=context),
        TTSAudioRawFrame(audio.tobytes(), RATE, 1, context_id=context),
        TTSStoppedFrame(context_id=context),
    ]
    for frame in frames:
        frame.interruptible = interruptible
    return frames


def raised(text: str = "raised") -> OutputTransportMessageFrame:
    return OutputTransportMessageFrame(message={"text": text})


def test_every_frame_that_the_output_knows_is_known() -> None:
    tree = ast.parse(inspect.getsource(base_output))
    imports = [
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "pipecat.frames.frames"
        for name in node.names
    ]
    assert sorted(imports) == sorted(KNOWN)


def test_nothing_of_the_processor_is_hidden() -> None:
    """What is called as the framework's own would take its place."""
    meant = {"setup", "cleanup", "process_frame"}
    tree = ast.parse(textwrap.dedent(inspect.getsource(PlaybackOutput)))
    assigned = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and type(node.ctx) is ast.Store}
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    frames = {"pts", "broadcast_sibling_id", "gain_db"}
    assert not ((assigned | defined) - frames - meant - {"__init__"}) & set(dir(FrameProcessor()))


async def test_frames_keep_their_place_behind_the_audio() -> None:
    async with conversation() as talk:
        first, second, third = raised("a"), FilterEnableFrame(True), HeartbeatFrame(timestamp=1)
        await talk.synthesized(first, *tts(), second, third)
        kinds = (OutputTransportMessageFrame, FilterEnableFrame, HeartbeatFrame)
        await talk.read(0.18)
        assert talk.below.names(*kinds) == ["OutputTransportMessageFrame"]
        await talk.read(0.02)
        assert talk.below.names(*kinds) == [kind.__name__ for kind in kinds]


async def test_a_frame_within_a_context_is_due_where_it_stands() -> None:
    async with conversation() as talk:
        start, audio, stop = tts()
        await talk.synthesized(
            start, audio, raised(), TTSAudioRawFrame(audio.audio, RATE, 1, context_id="context"), stop
        )
        await talk.read(0.18)
        assert not talk.below.names(OutputTransportMessageFrame)
        await talk.read(0.04)
        assert talk.below.names(OutputTransportMessageFrame)
        assert talk.below.speaking == [True]


async def test_system_frames_and_what_goes_up_pass_at_once() -> None:
    async with conversation() as talk:
        await talk.synthesized(*tts(), OutputTransportMessageUrgentFrame(message={}), UserStartedSpeakingFrame())
        names = talk.below.names()
        assert "OutputTransportMessageUrgentFrame" in names
        assert "UserStartedSpeakingFrame" in names
        await talk.below.push_frame(raised(), FrameDirection.UPSTREAM)
        await settle()
        assert any(isinstance(frame, OutputTransportMessageFrame) for frame in talk.above.up)


async def test_other_destinations_are_not_ours() -> None:
    async with conversation() as talk:
        audio = OutputAudioRawFrame(SPEECH.tobytes(), RATE, 1)
        audio.transport_destination = "another"
        await talk.synthesized(audio)
        assert talk.controller.buffered == 0
        assert any(frame is audio for frame in talk.below.down)


async def test_images() -> None:
    async with conversation() as talk:
        image, synced = (OutputImageRawFrame(b"abc", (1, 1), "RGB") for _ in range(2))
        synced.sync_with_audio = True
        await talk.synthesized(*tts(), image, synced, SpriteFrame([image]))
        assert [frame for frame in talk.below.down if isinstance(frame, OutputImageRawFrame)] == [image]
        assert talk.below.names(SpriteFrame)
        await talk.read(0.2)
        assert any(frame is synced for frame in talk.below.down)


async def test_uninterruptible_frames_survive() -> None:
    async with conversation() as talk:
        kept, dropped, inner = raised("kept"), raised("dropped"), raised("inner")
        kept.interruptible = inner.interruptible = False
        start, audio, stop = tts()
        await talk.synthesized(start, audio, inner, stop, dropped, kept, *tts(context="next"), StopFrame())
        await talk.read(0.1)
        await talk.interrupt()
        texts = [frame.message["text"] for frame in talk.below.down if isinstance(frame, OutputTransportMessageFrame)]
        assert texts == ["inner", "kept"]
        assert talk.below.names(StopFrame)
        assert talk.below.names(InterruptionFrame, OutputTransportMessageFrame)[0] == "InterruptionFrame"


async def test_uninterruptible_frames_wait_for_uninterruptible_speech() -> None:
    async with conversation() as talk:
        kept = raised()
        kept.interruptible = False
        await talk.synthesized(*tts(interruptible=False), *tts(context="next"), kept)
        await talk.queue(PlaybackPauseFrame())
        await talk.interrupt()
        assert not talk.below.names(OutputTransportMessageFrame)
        assert (await talk.read(0.2)).all()  # the pause is over
        assert talk.below.names(OutputTransportMessageFrame)
        assert not (await talk.read(0.2)).any()


async def test_the_end_of_the_pipeline_drains() -> None:
    async with conversation() as talk:
        await talk.synthesized(*tts(), raised())
        await talk.queue(PlaybackPauseFrame())  # nobody is left to end it
        await talk.worker.queue_frame(EndFrame())
        await settle()
        assert not talk.below.names(EndFrame)
        assert (await talk.read(0.2)).all()
        await until(lambda: talk.below.names(EndFrame))
        assert talk.below.names(OutputTransportMessageFrame, EndFrame) == ["OutputTransportMessageFrame", "EndFrame"]
        assert talk.below.speaking == [True, False]
    assert talk.controller.state == "closed"


async def test_the_end_of_the_pipeline_ends_what_nobody_has_ended() -> None:
    async with conversation() as talk:
        await talk.synthesized(*tts()[:2], OutputAudioRawFrame(SPEECH[:100].tobytes(), RATE, 1))
        await talk.worker.queue_frame(EndFrame())
        await settle()
        await talk.read(0.24)
        await until(lambda: talk.below.names(EndFrame))
        assert len(talk.below.audio()) >= 4_900


async def test_an_interruption_while_the_pipeline_ends() -> None:
    async with conversation() as talk:
        await talk.synthesized(*tts(np.full(48_000, 1_000, np.int16)))
        await talk.worker.queue_frame(EndFrame())
        await talk.read(0.1)
        await talk.above.push_frame(InterruptionFrame())
        await until(lambda: talk.below.names(EndFrame))
        assert talk.below.speaking == [True, False]


async def test_the_end_does_not_wait_for_a_reader_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playback.integrations.pipecat.STUCK_SECONDS", 0.05)
    async with conversation() as talk:
        await talk.synthesized(*tts())
        await talk.worker.queue_frame(EndFrame())
        await until(lambda: talk.below.names(EndFrame))
        assert talk.controller.buffered == 0


async def test_shutdown_while_speaking() -> None:
    async with conversation() as talk:
        reports = []
        talk.controller.on("utterance_finished", lambda event: reports.append(event.report))
        await talk.synthesized(*tts(), *tts(context="next", interruptible=False))
        await talk.read(0.1)
        await talk.worker.cancel()
        await until(lambda: len(reports) == 2)
        assert [report.outcome for report in reports] == ["interrupted", "interrupted"]
    assert talk.controller.state == "closed"
    assert not talk.controller.read(480).any()


async def test_the_controller_may_outlive_the_pipeline() -> None:
    controller = PlaybackController()
    for _ in range(2):
        output = PlaybackOutput(controller, close_controller=False, end_silence_seconds=0.0)
        async with conversation("Hello.", output=output) as talk:
            await talk.ask(buffered=0.2)
            await talk.read(0.3)
            assert talk.messages == ["Hello."]
            assert talk.below.speaking == [True, False]
    assert controller.state == "idle"


async def test_an_interruption_by_somebody_else_is_told() -> None:
    async with conversation("One two three.") as talk:
        await talk.ask(buffered=0.6)
        await talk.read(0.5)
        talk.controller.interrupt()  # a button, or a policy
        await settle()
        assert talk.messages == ["One two"]
        assert any(isinstance(frame, InterruptionFrame) for frame in talk.above.up)
        assert talk.below.names(InterruptionFrame) == ["InterruptionFrame"]


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
        await until(lambda: talk.controller.background.sounds)
        heard = await talk.read(0.2)
        assert len(set(heard)) > 100  # both at once


class Written(base_output.BaseOutputTransport):
    """A transport that pushes: it writes into memory."""

    def __init__(self) -> None:
        super().__init__(base_output.TransportParams(audio_out_enabled=True, audio_out_10ms_chunks=2))
        self.written: list[bytes] = []

    async def start(self, frame: pipecat_frames.StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self.written.append(frame.audio)
        return True


async def test_a_transport_that_does_not_pull() -> None:
    transport = Written()
    async with conversation("One two.", "One two.", pump=True, more=(transport,)) as talk:
        await talk.ask()
        await until(lambda: talk.messages)
        heard = np.frombuffer(b"".join(transport.written), np.int16)
        assert len(heard) == 9_600
        np.testing.assert_array_equal(heard[:4_800], np.frombuffer(talk.tts.audio(0), np.int16))
        assert talk.below.speaking == [True, False]
        await talk.ask()
        await until(lambda: len(talk.below.names(TTSTextFrame)) == 3)
        await talk.interrupt()
        assert talk.messages == ["One two.", "One"]
        await talk.queue(OutputDTMFFrame(buttons=[KeypadEntry.ONE]))  # the transport knows how
        assert talk.below.names(OutputDTMFFrame)
        await talk.worker.queue_frame(EndFrame())
        await until(lambda: talk.below.names(EndFrame))


async def test_the_recorder_of_the_framework() -> None:
    recorder = AudioBufferProcessor(auto_start_recording=True)
    tracks = []
    recorder.add_event_handler("on_track_audio_data", lambda *tracks_of: tracks.append(bytes(tracks_of[2])))
    async with conversation("One two.", more=(recorder,)) as talk:
        await talk.ask(buffered=0.4)
        await talk.read(0.5)
        await recorder.stop_recording()
        await until(lambda: tracks)
        assert np.frombuffer(tracks[0], np.int16).tolist() == [1_000] * 4_800 + [1_100] * 4_800


async def test_pause_and_resume_pass_on() -> None:
    async with conversation() as talk:
        await talk.queue(PlaybackPauseFrame(), PlaybackResumeFrame())
        assert talk.below.names(PlaybackPauseFrame, PlaybackResumeFrame) == [
            "PlaybackPauseFrame",
            "PlaybackResumeFrame",
        ]


async def test_the_bot_is_not_told_to_speak_in_a_pause() -> None:
    async with conversation() as talk:
        await talk.synthesized(*tts(np.full(24_000, 1_000, np.int16)))
        await talk.read(0.1)
        await talk.queue(PlaybackPauseFrame())
        before = len(talk.below.names(BotSpeakingFrame))
        await talk.read(1.0)
        assert len(talk.below.names(BotSpeakingFrame)) == before


async def test_too_much_audio_is_an_error_and_no_end() -> None:
    controller = PlaybackController(input_format=None, max_buffered_seconds=0.5, high_water_seconds=0.5)
    async with conversation(output=PlaybackOutput(controller, end_silence_seconds=0.0)) as talk:
        await talk.synthesized(*tts(np.full(48_000, 1_000, np.int16)))
        await talk.read(0.1)
        assert "BufferFull" in talk.errors[0].error or "buffered" in talk.errors[0].error
        talk.errors.clear()
        await talk.synthesized(*tts(context="next"))
        assert (await talk.read(0.1)).any()


def test_a_processor_that_is_not_set_up_says_so() -> None:
    with pytest.raises(RuntimeError, match="not set up"):
        PlaybackOutput()._ready_turns.end()


def test_conversations_are_made_of_real_parts() -> None:
    assert issubclass(PlaybackOutput, FrameProcessor)
    assert Conversation.__init__.__kwdefaults__["rate"] == RATE
