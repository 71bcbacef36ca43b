"""Twilio Media Streams, bidirectional (``<Connect><Stream>``).

Messages: https://www.twilio.com/docs/voice/media-streams/websocket-messages
TwiML: https://www.twilio.com/docs/voice/twiml/stream
"""

from __future__ import annotations

from typing import Any

from playback.telephony.dialect import JsonDialect, Started, audio_format, identifier, number, take, texts


class Twilio(JsonDialect):
    """Twilio's messages. Audio is mu-law at 8 kHz, both ways; a clear sends all outstanding marks back."""

    name = "Twilio"

    def started(self, data: dict[str, Any]) -> Started:
        """What a ``start`` says."""
        start = take(data, "start", dict)
        media = take(start, "mediaFormat", dict)
        wire = audio_format(take(media, "encoding", str), number(media, "sampleRate"), number(media, "channels"))
        return Started(identifier(start, "callSid"), wire, wire, texts(start.get("customParameters")))
