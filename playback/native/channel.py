"""NativeChannel: a data channel."""

from __future__ import annotations

from typing import Any, Final, Literal

from pyee.base import EventEmitter

from playback.native.mailbox import Mailbox

ChannelState = Literal["connecting", "open", "closed"]


class NativeChannel(EventEmitter):
    """A data channel, with the names of aiortc's ``RTCDataChannel`` (and so of W3C), for code that takes either.

    Events: ``open``, ``message`` (a string or bytes), ``bufferedamountlow``, ``close``. All are emitted in the loop.

    Args:
        channel: of the native connection.
        mailbox: of its peer.
    """

    def __init__(self, channel: Any, mailbox: Mailbox) -> None:
        super().__init__()
        self._channel: Final = channel
        self._label: Final = str(channel.label())
        self._state: ChannelState = "open" if channel.is_open() else "connecting"
        channel.on_open(mailbox.poster(self._opened))
        channel.on_closed(mailbox.poster(self.end))
        channel.on_message(mailbox.poster(self._took))
        channel.on_buffered_amount_low(mailbox.poster(self._drained))

    @property
    def label(self) -> str:
        """Its name."""
        return self._label

    @property
    def readyState(self) -> ChannelState:  # noqa: N802 - W3C's name
        """``"connecting"``, ``"open"`` or ``"closed"``."""
        if self._state == "open" and self._channel.is_closed():  # of which the loop will be notified
            return "closed"
        return self._state

    @property
    def bufferedAmount(self) -> int:  # noqa: N802 - W3C's name
        """How many bytes wait to be sent."""
        return int(self._channel.buffered_amount())

    def send(self, data: str | bytes) -> None:
        """Send a message.

        Raises:
            RuntimeError: the channel is not open.
            ValueError: the message is longer than the other side takes.
        """
        if self.readyState != "open":
            raise RuntimeError(f"the channel {self._label!r} is {self.readyState}, expected an open one")
        size, most = len(data.encode() if isinstance(data, str) else data), self._channel.max_message_size()
        if size > most:
            raise ValueError(f"the message has {size:,} bytes, expected at most {most:,}")
        self._channel.send(data)

    def close(self) -> None:
        """Close it; ``close`` is emitted when that is done."""
        self._channel.close()

    def end(self) -> None:
        """It is closed; nothing more is called for it."""
        if self._state != "closed":
            self._state = "closed"
            self._channel.reset_callbacks()
            self.emit("close")

    def _opened(self) -> None:
        if self._state == "connecting":
            self._state = "open"
            self.emit("open")

    def _took(self, message: str | bytes) -> None:
        self.emit("message", message)

    def _drained(self) -> None:
        self.emit("bufferedamountlow")
