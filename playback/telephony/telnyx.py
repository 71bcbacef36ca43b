"""Telnyx Media Streaming, bidirectional in the mode ``rtp``.

Messages: https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket
Commands: https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final, Literal

from playback.audio.formats import AudioFormat
from playback.telephony.dialect import (
    CarrierError,
    CarrierEvent,
    JsonDialect,
    Started,
    audio_format,
    identifier,
    number,
    take,
    texts,
)
from playback.tracing.fields import shown


class Telnyx(JsonDialect):
    """Telnyx's messages.

    Args:
        outgoing: the format that the call was started with, by ``stream_bidirectional_codec`` and
            ``stream_bidirectional_sampling_rate``: the messages do not name it. The default is that of the caller's
            audio, so leave it out where both are the same.
        l16_byte_order: the order of the bytes of L16, in both directions. The documentation leaves it open; public
            programs use "little".

    Raises:
        ValueError: another byte order.
    """

    name = "Telnyx"
    stream_key = "stream_id"

    def __init__(
        self, outgoing: AudioFormat | None = None, *, l16_byte_order: Literal["little", "big"] = "little"
    ) -> None:
        super().__init__()
        if l16_byte_order not in ("little", "big"):
            raise ValueError(f"l16_byte_order is {l16_byte_order!r}, expected 'little' or 'big'")
        self._outgoing: Final = outgoing
        self._l16: Final = "s16le" if l16_byte_order == "little" else "s16be"

    def started(self, data: dict[str, Any]) -> Started:
        """What a ``start`` says."""
        start = take(data, "start", dict)
        media = take(start, "media_format", dict)
        incoming = audio_format(take(media, "encoding", str), number(media, "sample_rate"), number(media, "channels"))
        if incoming.encoding == "s16le":
            incoming = replace(incoming, encoding=self._l16)
        call_id = identifier(start, "call_control_id")
        return Started(call_id, incoming, self._outgoing or incoming, texts(start.get("custom_parameters")))

    def error(self, data: dict[str, Any]) -> CarrierEvent:
        """What an ``error`` says: Telnyx has refused something that was sent."""
        payload = take(data, "payload", dict)
        return CarrierError(shown({key: payload.get(key) for key in ("code", "title", "detail")}, 300))

    def message(self, event: str, **content: Any) -> str:
        """A message to Telnyx, which has no stream id: a socket has one stream."""
        return json.dumps({"event": event, **content}, separators=(",", ":"))
