"""Vonage Voice API, a WebSocket endpoint of an NCCO: binary audio, and JSON for the rest.

https://developer.vonage.com/en/voice/voice-api/guides/websockets
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from playback.telephony.dialect import (
    INVALID_DATA,
    PROTOCOL_ERROR,
    UNSUPPORTED,
    CarrierEvent,
    Digit,
    MarkPlayed,
    Media,
    Message,
    MessageError,
    Started,
    Stopped,
    audio_format,
    digit,
    parse_object,
    take,
    texts,
)

_CONTENT_TYPE: Final = re.compile(r"(audio/l16); ?rate=([0-9]{4,6})", re.IGNORECASE)


class Vonage:
    """Vonage's messages. Audio is L16, little-endian, in messages of 20 ms.

    What the NCCO's ``headers`` hold arrives as parameters. A ``notify`` comes back when the audio before it was played,
    with its payload. What becomes of the outstanding ones at a ``clear`` is not documented, and does not matter here.

    Args:
        call_id: the key of the NCCO's ``headers`` that holds the id of the call; Vonage sends none of its own.
    """

    name = "Vonage"
    has_marks = True

    def __init__(self, call_id: str = "call_id") -> None:
        self._call_id: Final = call_id
        self._started = False

    def receive(self, message: Message) -> CarrierEvent | None:
        """What a message says; see :class:`~playback.telephony.dialect.Dialect`."""
        if not isinstance(message, str):
            if not self._started:
                raise MessageError(PROTOCOL_ERROR, "expected websocket:connected first")
            return Media(message)
        data = parse_object(message)
        event = take(data, "event", str)
        if event == "websocket:connected":
            return self._connected(data)
        if event == "websocket:disconnected":
            return Stopped()
        if not self._started:
            raise MessageError(PROTOCOL_ERROR, "expected websocket:connected first")
        if event == "websocket:notify":
            return MarkPlayed(take(take(data, "payload", dict), "mark", str))
        if event == "websocket:dtmf":
            return _digit(data)
        if event == "websocket:cleared":
            return None
        raise MessageError(UNSUPPORTED, "an unknown event")

    def _connected(self, data: dict[str, Any]) -> Started:
        if self._started:
            raise MessageError(PROTOCOL_ERROR, "a second websocket:connected")
        content = _CONTENT_TYPE.fullmatch(take(data, "content-type", str).strip())
        if content is None:
            raise MessageError(UNSUPPORTED, "expected audio/l16 as the content-type")
        wire = audio_format(content[1], int(content[2]))
        self._started = True
        parameters = {key: value for key, value in texts(data).items() if key not in ("event", "content-type")}
        call_id = parameters.get(self._call_id, "")
        if not re.fullmatch(r"[\x21-\x7e]{0,512}", call_id):
            raise MessageError(INVALID_DATA, "the call's id is no id")
        return Started(call_id, wire, wire, parameters)

    def media(self, audio: bytes) -> Message:
        """The message that plays audio."""
        return audio

    def mark(self, name: str) -> Message:
        """The message that asks for a notification."""
        return json.dumps({"action": "notify", "payload": {"mark": name}}, separators=(",", ":"))

    def clear(self) -> Message | None:
        """The message that drops what is not played yet."""
        return '{"action":"clear"}'


def _digit(data: dict[str, Any]) -> Digit:
    """The key of a message: beside the event or, in older documentation, within ``dtmf``."""
    inner = data.get("dtmf")
    return digit(inner if isinstance(inner, dict) else data)
