"""The carriers' side of each protocol, as their documentation shows it, written apart from the dialects."""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from playback.audio.encodings import ENCODINGS, encode
from playback.telephony import Dialect, Telnyx, Twilio, Vonage


class Command(NamedTuple):
    """What an application has sent."""

    kind: str
    audio: bytes = b""
    mark: str = ""


class TwilioSide:
    """https://www.twilio.com/docs/voice/media-streams/websocket-messages"""

    rate = 8_000
    encoding = "mulaw"

    def __init__(self) -> None:
        self.stream = "MZ18ad3ab5a668481ce02b83e7395059f0"
        self._sequence = 0
        self._chunk = 0

    def dialect(self) -> Dialect:
        return Twilio()

    def start(self) -> list[str | bytes]:
        wire = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start = {
            "accountSid": "AC0123456789abcdef0123456789abcdef",
            "streamSid": self.stream,
            "callSid": "CA0123456789abcdef0123456789abcdef",
            "tracks": ["inbound"],
            "mediaFormat": wire,
            "customParameters": {"FirstName": "Jane"},
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return [json.dumps(connected), self._message("start", start=start)]

    def media(self, audio: bytes) -> str | bytes:
        self._chunk += 1
        payload = base64.b64encode(audio).decode()
        at = str(20 * self._chunk)
        return self._message(
            "media", media={"track": "inbound", "chunk": str(self._chunk), "timestamp": at, "payload": payload}
        )

    def mark(self, name: str) -> str | bytes:
        return self._message("mark", mark={"name": name})

    def dtmf(self, key: str) -> str | bytes:
        return self._message("dtmf", dtmf={"track": "inbound_track", "digit": key})

    def stop(self) -> str | bytes:
        return self._message("stop", stop={"accountSid": "AC0", "callSid": "CA0"})

    def cleared(self) -> list[str | bytes]:
        return []

    def read(self, message: str | bytes) -> Command:
        assert isinstance(message, str)
        data = json.loads(message)
        assert data["streamSid"] == self.stream
        return _command(data)

    def decode(self, audio: bytes) -> NDArray[np.int16]:
        return np.frombuffer(ENCODINGS[self.encoding].decode(audio), "<i2")

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        return encode(samples, self.encoding)

    def _message(self, event: str, **content: Any) -> str:
        self._sequence += 1
        return json.dumps({"event": event, "sequenceNumber": str(self._sequence), **content, "streamSid": self.stream})


class TelnyxSide(TwilioSide):
    """https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket"""

    def __init__(self, codec: str = "PCMU", rate: int = 8_000) -> None:
        super().__init__()
        self.stream = "32DE0DEA-53CB-4B21-89A4-9E1819C043BC"
        self.codec, self.rate = codec, rate
        self.encoding = {"PCMU": "mulaw", "PCMA": "alaw", "L16": "s16le"}[codec]

    def dialect(self) -> Dialect:
        return Telnyx()

    def start(self) -> list[str | bytes]:
        start = {
            "user_id": "3E6F995F-85F7-4705-9741-53B116D28237",
            "call_control_id": "v2:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ",
            "call_session_id": "ff55a038-6f5d-11ef-9692-02420aeffb1f",
            "from": "+13122010094",
            "to": "+13122123456",
            "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
            "media_format": {"encoding": self.codec, "sample_rate": self.rate, "channels": 1},
        }
        return [json.dumps({"event": "connected", "version": "1.0.0"}), self._message("start", start=start)]

    def dtmf(self, key: str) -> str | bytes:
        return self._message("dtmf", occurred_at="2026-09-10T10:40:00.000000Z", dtmf={"digit": key})

    def stop(self) -> str | bytes:
        return self._message("stop", stop={"user_id": "3E6F995F", "call_control_id": "v2:T02ll"})

    def read(self, message: str | bytes) -> Command:
        assert isinstance(message, str)
        return _command(json.loads(message))

    def _message(self, event: str, **content: Any) -> str:
        self._sequence += 1
        numbers = {"sequence_number": str(self._sequence), "stream_id": self.stream}
        return json.dumps({"event": event, **numbers, **content})


class VonageSide(TwilioSide):
    """https://developer.vonage.com/en/voice/voice-api/guides/websockets"""

    encoding = "s16le"

    def __init__(self, rate: int = 16_000) -> None:
        super().__init__()
        self.rate = rate

    def dialect(self) -> Dialect:
        return Vonage()

    def start(self) -> list[str | bytes]:
        content = f"audio/l16;rate={self.rate}"
        return [json.dumps({"event": "websocket:connected", "content-type": content, "call_id": "call-7"})]

    def media(self, audio: bytes) -> str | bytes:
        return audio

    def mark(self, name: str) -> str | bytes:
        return json.dumps({"event": "websocket:notify", "payload": {"mark": name}})

    def dtmf(self, key: str) -> str | bytes:
        return json.dumps({"event": "websocket:dtmf", "digit": key, "duration": 260})

    def stop(self) -> str | bytes:
        return json.dumps({"event": "websocket:disconnected"})

    def cleared(self) -> list[str | bytes]:
        return [json.dumps({"event": "websocket:cleared"})]

    def read(self, message: str | bytes) -> Command:
        if not isinstance(message, str):
            assert len(message) == 2 * self.rate // 50, "Vonage takes 20 ms in each message"
            return Command("media", audio=message)
        data = json.loads(message)
        if data["action"] == "notify":
            return Command("mark", mark=data["payload"]["mark"])
        assert data == {"action": "clear"}
        return Command("clear")


def _command(data: dict[str, Any]) -> Command:
    if data["event"] == "media":
        return Command("media", audio=base64.b64decode(data["media"]["payload"], validate=True))
    if data["event"] == "mark":
        return Command("mark", mark=data["mark"]["name"])
    assert data["event"] == "clear"
    return Command("clear")
