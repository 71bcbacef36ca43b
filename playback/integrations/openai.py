"""OpenAI Agents (``openai-agents``): a realtime session whose audio a controller plays.

The model generates speech faster than it is heard. When the user barges in, the server's copy of the conversation has
to be cut to what was heard, by ``conversation.item.truncate`` in milliseconds of the item's own audio. The session asks
a playback tracker for that number; the one of this module takes it from the samples that were handed out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import av

try:
    from agents.realtime import (
        RealtimeModelListener,
        RealtimeModelSendInterrupt,
        RealtimeModelSendRawMessage,
        RealtimePlaybackTracker,
    )
    from agents.realtime.audio_formats import to_realtime_audio_format
except ImportError as error:
    raise ImportError("OpenAI Agents is not installed: pip install 'voice-playback[openai]'") from error

from playback.audio.formats import AudioFormat
from playback.controller import PlaybackController
from playback.events import Interrupted, UtteranceFinished
from playback.report import Outcome
from playback.utterance import Utterance

LOGGER: Final = logging.getLogger("playback")

SOURCE: Final = AudioFormat(24_000)
"""What the model generates, unless the session says otherwise."""

_Key: TypeAlias = tuple[str, int]
"""An item of the conversation, and the index of its content."""

_G711: Final = {"audio/pcmu": "pcm_mulaw", "audio/pcma": "pcm_alaw"}
_SPEECH_STARTED: Final = "input_audio_buffer.speech_started"


@dataclass(slots=True)
class _Item:
    """Speech of the model that is played, or will be."""

    key: _Key
    response_id: str
    utterance: Utterance

    @property
    def pending(self) -> bool:
        return self.utterance.report is None


class RealtimePlayback(RealtimePlaybackTracker, RealtimeModelListener):
    """Plays a session's audio, and is its playback tracker.

    Each content of an item becomes an utterance, by the name ``item_id:content_index``. Whatever drops it, the model's
    own interruption, :meth:`PlaybackController.interrupt` or :meth:`Utterance.cancel`, the conversation is truncated:
    what was playing at what was heard, what was waiting at zero.

    Example::

        playback = RealtimePlayback(controller)
        session = await runner.run(model_config={"playback_tracker": playback})
        playback.attach(session)
        async with session:
            ...

    Args:
        controller: what plays the audio.
        source: what the audio is taken for, if it is PCM.
    """

    def __init__(self, controller: PlaybackController, *, source: AudioFormat = SOURCE) -> None:
        super().__init__()
        self.controller: Final = controller
        """What plays the audio: for all that the session knows nothing of, such as a pause."""

        self._source: Final = source
        self._g711: Any = None
        self._model: Any = None
        self._items: Final[dict[_Key, _Item]] = {}
        self._transcripts: Final[dict[str, str]] = {}  # of items that have no audio yet
        self._responses: Final[set[str]] = set()
        self._stale: Final[set[str]] = set()
        self._asked: _Key | None = None
        self._interrupting = False
        self._user_speaks = False
        self._listens = False
        self._follow()

    def attach(self, session: Any, *, listen: bool = True) -> None:
        """Play the audio of a session, from its model, before the session's own queue.

        Args:
            session: the session, before or after it was entered.
            listen: False if its events are handed to :meth:`on_event` by the application instead.
        """
        self._follow()
        self._model = session.model
        if listen:
            self._model.add_listener(self)

    def detach(self) -> None:
        """Let go of the session and the controller; what was pushed plays on. Another :meth:`attach` may follow."""
        if self._model is not None:
            self._model.remove_listener(self)
            self._model = None
            for item in list(self._items.values()):
                item.utterance.end()
            for kept in (self._items, self._transcripts, self._responses, self._stale):
                kept.clear()
            self.controller.remove_listener("utterance_finished", self._finished)
            self.controller.remove_listener("interrupted", self._interrupted)
            self._listens = False

    def _follow(self) -> None:
        """Subscribe to the controller's events, once."""
        if not self._listens:
            self._listens = True
            self.controller.on("utterance_finished", self._finished)
            self.controller.on("interrupted", self._interrupted)

    # What the model calls: the tracker

    def get_state(self) -> Any:
        """What is being heard: the first item that is not over, and how much of it was played, in its milliseconds."""
        item = self._current
        self._asked = None if item is None else item.key  # who asks is going to truncate it
        if item is None:
            return {"current_item_id": None, "current_item_content_index": None, "elapsed_ms": None}
        item_id, index = item.key
        return {
            "current_item_id": item_id,
            "current_item_content_index": index,
            "elapsed_ms": self._milliseconds(item.utterance.played),
        }

    def on_interrupted(self) -> None:
        """The model has interrupted playback, or its connection was closed: drop what is left of its speech."""
        if self._current is not None:
            self._interrupt()

    def set_audio_format(self, format: Any) -> None:
        """Take the audio for what the session has negotiated: PCM, or G.711 of either law."""
        super().set_audio_format(format)
        negotiated = to_realtime_audio_format(format)
        codec = _G711.get(getattr(negotiated, "type", ""))
        self._g711 = None
        if codec is not None:
            self._g711 = av.AudioCodecContext.create(codec, "r")
            self._g711.sample_rate = 8_000
            self._g711.layout = "mono"

    def on_play_bytes(self, item_id: str, item_content_index: int, bytes: bytes) -> None:
        """Nothing: what was played is known."""

    def on_play_ms(self, item_id: str, item_content_index: int, ms: float) -> None:
        """Nothing: what was played is known."""

    # What the model calls: the listener

    async def on_event(self, event: Any) -> None:
        """Take an event of the model; one of the session is taken for the event of the model that it holds.

        Args:
            event: any event; those that are not about audio change nothing.

        Raises:
            BufferFull: more audio than the controller may buffer.
        """
        if event.type == "raw_model_event":
            event = event.data
        elif hasattr(event, "info"):
            return  # the session says the same again in other words
        match event.type:
            case "raw_server_event":
                self._user_speaks = isinstance(event.data, dict) and event.data.get("type") == _SPEECH_STARTED
            case "turn_started" if event.response_id is not None:
                self._responses.add(event.response_id)
            case "audio" if event.data:
                await self._push(event)
            case "transcript_delta":
                self._add_text(event.item_id, event.delta)
            case "audio_done":
                if (item := self._items.get((event.item_id, event.content_index))) is not None:
                    item.utterance.end()
            case "audio_interrupted":
                self._drop((event.item_id, event.content_index))
            case "turn_ended":
                self._end_response(event.response_id)
            case "connection_status" if event.status == "disconnected":
                self._end_response(None)

    async def _push(self, event: Any) -> None:
        key = (event.item_id, event.content_index)
        item = self._items.get(key)
        was_over = False
        if item is None:
            name, text = f"{event.item_id}:{event.content_index}", self._transcripts.pop(event.item_id, None)
            utterance = self.controller.utterance(id=name, text=text, format=self._source)
            was_over = utterance.report is not None  # a closed controller finishes it before it is known here
            item = self._items[key] = _Item(key, event.response_id, utterance)
            if event.response_id in self._stale:
                utterance.cancel()  # its pushes are refused, counted and reported
        self._responses.add(item.response_id)
        if self._g711 is None:
            item.utterance.push(event.data)
        else:
            for frame in self._g711.decode(av.Packet(event.data)):
                item.utterance.push(frame)
        if was_over and self._model is not None:
            await self._truncate(key, 0)

    def _add_text(self, item_id: str, text: str) -> None:
        """The model has written on what it says; that may be ahead of the audio."""
        item = next((item for key, item in reversed(self._items.items()) if key[0] == item_id), None)
        if item is None:
            self._transcripts[item_id] = self._transcripts.get(item_id, "") + text
        elif item.utterance.report is None:
            item.utterance.append_text(text)

    def _end_response(self, response_id: str | None) -> None:
        """No more audio comes of a response, or of any."""
        self._transcripts.clear()
        over = [item for item in self._items.values() if response_id in (None, item.response_id)]
        for item in over:
            item.utterance.end()
            if not item.pending:
                self._items.pop(item.key, None)
        for responses in (self._responses, self._stale):
            responses.difference_update(set(responses) if response_id is None else {response_id})

    def _drop(self, key: _Key) -> None:
        """The model interrupts an item: with it all there is, unless it is about another response than what plays.

        When the user speaks it names the item that came last; otherwise the one that plays, or, where a guardrail has
        tripped, each one of the response that must not be heard.
        """
        named, current = self._items.get(key), self._current
        together = named is not None and current is not None and named.response_id == current.response_id
        if self._user_speaks or together:
            self._interrupt()
        elif named is not None:
            self._stale.add(named.response_id)
            named.utterance.cancel()

    def _interrupt(self) -> None:
        self._stale.update(self._responses)
        self._interrupting = True
        try:
            self.controller.interrupt()
        finally:
            self._interrupting = False

    # The controller's events

    def _finished(self, event: UtteranceFinished) -> Any:
        item = next((item for item in self._items.values() if item.utterance is event.utterance), None)
        if item is None:
            return None
        if item.response_id not in self._responses:
            del self._items[item.key]  # nothing comes late any more
        if event.report.outcome is Outcome.COMPLETED or self._model is None:
            return None
        if self._interrupting and item.key == self._asked:
            return None  # the model truncates it
        return self._truncate(item.key, int(self._milliseconds(event.report.played)))

    def _interrupted(self, event: Interrupted) -> Any:  # noqa: ARG002 - a listener's signature
        if self._interrupting or not self._responses:
            return None
        # Somebody else than the model has interrupted: it must not go on with what nobody wants to hear.
        self._stale.update(self._responses)
        return self._send(RealtimeModelSendInterrupt(force_response_cancel=True), "cancelled")

    async def _truncate(self, key: _Key, milliseconds: int) -> None:
        item_id, index = key
        where = {"item_id": item_id, "content_index": index, "audio_end_ms": milliseconds}
        message = {"type": "conversation.item.truncate", "other_data": where}
        await self._send(RealtimeModelSendRawMessage(message=message), f"truncated: {where}")

    async def _send(self, message: Any, purpose: str) -> None:
        try:
            await self._model.send_event(message)
        except Exception:  # the connection is gone, and the conversation with it
            LOGGER.info("not %s", purpose, exc_info=True)

    # Parts of the above

    @property
    def _current(self) -> _Item | None:
        """The item that plays, or will next."""
        return next((item for item in self._items.values() if item.pending), None)

    def _milliseconds(self, samples: int) -> float:
        # One division: a whole number of milliseconds is never a little less than that.
        return samples * 1_000 / self.controller.format.sample_rate
