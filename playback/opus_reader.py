"""Reads a controller as Opus packets, for whoever sends them; no transport is known here."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from playback.codec.encoder import LOOKAHEAD_SECONDS, OpusEncoder, open_encoder
from playback.codec.settings import SAMPLE_RATES, OpusSettings
from playback.controller import PlaybackController
from playback.pacing import PTIME_SECONDS
from playback.passing import OpusSource, PassedPackets

Idle = Literal["nothing", "silence"]
"""What is sent while there is nothing to hear."""

IDLE_SECONDS: Final = 0.2
"""How long it is silent before nothing is sent. A jitter buffer that has had that much silence is none the worse for a
gap, and what the encoder looks ahead (6.5 ms at most) has long been sent."""

LEAD: Final = bytes([30 << 3, 0xFF, 0xFE])
"""10 ms of silence, whatever was before: CELT, full band, mono (RFC 6716, table 2), of which nothing but the flag for
silence is coded (section 4.3).

A jitter buffer fades in what comes first after a gap, unless that is silent (libwebrtc, neteq/merge.cc). 10 ms is what
Chromium takes out at a time; more would only delay all that follows.
"""
LEAD_SAMPLES: Final = 480
"""By how much its timestamp is less than that of the packet after it."""

SILENCE: Final = bytes([31 << 3, 0xFF, 0xFE])
"""20 ms of silence, as :data:`LEAD` is 10 ms: the same for all calls."""

TAIL_FRAMES: Final = 2
"""How much of a silence is encoded where calls share :data:`SILENCE`: what the encoder looks ahead still holds sound.
From there on, it and every decoder remember nothing but silence."""

_IDLE_FRAMES: Final = round(IDLE_SECONDS / PTIME_SECONDS)


class OpusReader:
    """Reads a controller 20 ms at a time, and gives the packets of it.

    Most frames are encoded. One that is, byte for byte, 20 ms of an utterance that has packets already is sent as that
    packet, if a decoder that has had the packets before it can't notice (:mod:`playback.passing`). That costs a
    comparison, and only while such an utterance is at the head of the queue.

    Args:
        controller: what to read: mono, at a rate that Opus has.
        settings: of the encoder.
        idle: whether nothing is given during silence, or silence.
        shares_silence: whether silence is not encoded for each call, but the same packet for all of them.

    Raises:
        ValueError: the controller's format is nothing that Opus has.
    """

    def __init__(
        self,
        controller: PlaybackController,
        settings: OpusSettings | None = None,
        *,
        idle: Idle = "nothing",
        shares_silence: bool = False,
    ) -> None:
        output = controller.format
        if output.channels != 1 or output.sample_rate not in SAMPLE_RATES:
            rates = ", ".join(map(str, SAMPLE_RATES))
            raise ValueError(f"the controller's format is {output}, expected 1 channel at one of {rates} Hz")
        self._controller: Final = controller
        self._rate: Final = output.sample_rate
        self._settings: Final = settings or OpusSettings()
        self._encoder: Final = open_encoder(self._rate, self._settings)
        self._direct: Final = self._encoder if isinstance(self._encoder, OpusEncoder) else None
        self._samples: Final = self._encoder.samples
        # The samples, four at a time: whether there is anything but zeros is seen in a fraction of the time.
        self._audio: Final = self._samples.view(np.int64)
        self._frame: Final = len(self._samples)
        self._held_back: Final = self._samples[-round(LOOKAHEAD_SECONDS * self._rate) :]
        self._silent = 0
        self._most_silent: Final[float] = _IDLE_FRAMES if idle == "nothing" else np.inf
        self._most_encoded: Final[float] = TAIL_FRAMES if shares_silence else np.inf
        # The packets of the utterance at the head of the queue, if it has some; which of its frames was read last.
        self._opus: OpusSource | None = None
        self._packets: PassedPackets | None = None
        self._matched = -1
        # What was sent last, if that was no packet of the encoder's: it does not know of it then.
        self._sent: PassedPackets | None = None
        self._sent_next = 0

    def read(self) -> list[tuple[int, bytes]]:
        """Read the next 20 ms.

        Returns:
            Packets, each with its timestamp, in samples at 48 kHz, beside that of this frame. One; none within silence;
            two at the end of silence: a jitter buffer fades in the first packet after a gap, so the first one is 10 ms
            of silence.
        """
        idle = self._silent > self._most_silent
        packet = None
        head = self._controller.head
        opus = None if head is None else head.opus
        if opus is not self._opus:
            self._change(opus)
        if head is None or self._packets is None:
            self._controller.read_into(self._audio)
        else:
            head_played = head.played
            number, within = divmod(head_played, self._frame)
            clear = not number and not self._held_back.any()  # of the frame before
            self._controller.read_into(self._audio)
            if not within and head.played > head_played:  # it was not held back
                packet = self._passed(self._packets, number, clear)
            else:
                self._matched = -1
        if packet is None:
            self._silent = 0 if self._audio.any() else self._silent + 1
            if self._silent > self._most_silent:
                return []
            packet = self._encoded() if self._silent <= self._most_encoded else SILENCE
        return [(-LEAD_SAMPLES, LEAD), (0, packet)] if idle else [(0, packet)]

    def _change(self, opus: OpusSource | None) -> None:
        """Look for the packets of another utterance."""
        self._opus, self._packets, self._matched = opus, None, -1
        if opus is not None and self._direct is not None:
            self._packets = opus.packets(self._rate, self._settings)

    def _passed(self, packets: PassedPackets, number: int, clear: bool) -> bytes | None:
        """The packet to send in place of what was read, if there is one.

        Args:
            packets: those of the head.
            number: which of them its samples would be.
            clear: whether what a decoder has not played yet of the frame before is silence.
        """
        matched, self._matched = self._matched, -1
        frame = packets.frame(number)
        if frame is None or frame != self._samples.tobytes():
            return None
        self._matched = number
        if self._sent is not packets or self._sent_next != number:
            follows = clear if number == 0 else matched == number - 1
            if not follows or not packets.enters(number):
                return None
        self._sent, self._sent_next = packets, number + 1
        self._silent = 0
        return packets.packet(number)

    def _encoded(self) -> bytes:
        """What was read, encoded; after other packets, as what follows them."""
        if self._sent is None or self._direct is None:
            return self._encoder.encode(self._samples)
        sent, self._sent = self._sent, None
        frame = self._samples.copy()  # the encoder may encode others first
        apart = sent.leave(self._direct, self._sent_next, silent=self._silent > 0)
        return self._direct.encode_apart(frame) if apart else self._direct.encode(frame)
