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
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputImageRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    SpriteFrame,
    StopFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
)
from pipecat.processors.audio.audio_buffer_processor import AudioBufferProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports import base_output
from pipecat_fakes import RATE, Conversation, conversation, settle, until

from playback import PlaybackController
from playback.integrations.pipecat import PlaybackOutput, PlaybackPauseFrame, PlaybackResumeFrame

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
    "MixerControlFrame": "test_pipecat_sounds: the mixer",
    "OutputAudioRawFrame": "test_pipecat_sounds: sounds of no context",
    "OutputDTMFFrame": "test_pipecat_sounds: tones",
    "OutputDTMFUrgentFrame": "test_pipecat_sounds: urgent tones",
    "OutputImageRawFrame": "images",
    "OutputTransportMessageFrame": "passes in order",
    "OutputTransportMessageUrgentFrame": "passes at once",
    "OutputTransportReadyFrame": "test_pipecat_turns: what the framework above hears",
    "SpeechOutputAudioRawFrame": "test_pipecat_sounds: a stream of speech and silence",
    "SpriteFrame": "images",
    "StartFrame": "every test",
    "SystemFrame": "passes at once",
    "TTSAudioRawFrame": "test_pipecat_turns",
    "TTSStoppedFrame": "test_pipecat_turns: a turn to its end",
    "VolumeFrame": "test_pipecat_sounds: the volume",
    "VolumeGainFrame": "test_pipecat_sounds: the volume",
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
    """What is called as the framework's own would be."""
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
    monkeypatch.setattr("playback.integrations.pipecat.output.STUCK_SECONDS", 0.05)
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


async def test_an_interruption_by_somebody_else_is_reported() -> None:
    async with conversation("One two three.") as talk:
        await talk.ask(buffered=0.6)
        await talk.read(0.5)
        talk.controller.interrupt()  # a button, or a policy
        await settle()
        assert talk.messages == ["One two"]
        assert any(isinstance(frame, InterruptionFrame) for frame in talk.above.up)
        assert talk.below.names(InterruptionFrame) == ["InterruptionFrame"]


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
    long = "One two three four five six seven eight nine ten."
    async with conversation("One two.", long, pump=True, more=(transport,)) as talk:
        await talk.ask()
        await until(lambda: talk.messages)
        heard = np.frombuffer(b"".join(transport.written), np.int16)
        assert len(heard) == 9_600
        np.testing.assert_array_equal(heard[:4_800], np.frombuffer(talk.tts.audio(0), np.int16))
        await until(lambda: talk.below.speaking == [True, False])
        await talk.ask()
        await until(lambda: len(talk.below.names(TTSTextFrame)) == 3)
        await talk.interrupt()
        await until(lambda: len(talk.messages) == 2)
        assert long.startswith(f"{talk.messages[1]} ")  # how far it came is the machine's to say
        await talk.queue(OutputDTMFFrame(buttons=[KeypadEntry.ONE]))  # the transport knows how
        await until(lambda: talk.below.names(OutputDTMFFrame))
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


async def test_the_bot_is_not_reported_to_speak_in_a_pause() -> None:
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
