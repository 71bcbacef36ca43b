"""NativeChannel: a data channel."""

from __future__ import annotations

from typing import Any, Final, Literal

from pyee.base import EventEmitter

from playback.native.mailbox import Mailbox
from playback.native.native_objects import bury

ChannelState = Literal["connecting", "open", "closed"]


class NativeChannel(EventEmitter):
    """A data channel, with the names of aiortc's ``RTCDataChannel`` (and so of W3C), for code that takes either.

    Events: ``open``, ``message`` (a string or bytes), ``bufferedamountlow`` (nothing waits any more; seen within
    200 ms), ``close``. All are emitted in the loop.

    Args:
        channel: of the native connection.
        mailbox: of its peer.
    """

    def __init__(self, channel: Any, mailbox: Mailbox) -> None:
        super().__init__()
        self._channel: Any = channel
        self._mailbox: Final = mailbox
        self._label: Final = str(channel.label())
        self._state: ChannelState = "open" if channel.is_open() else "connecting"
        self._waiting = False
        """Whether something was waiting to be sent at the last look."""

    def wire(self) -> None:
        """Have it emit events, where no callback of it can run meanwhile; see :mod:`playback.native.native_objects`."""
        self._channel.on_closed(self._mailbox.poster(self.end))
        self._channel.on_open(self._mailbox.poster(self._opened))
        self._channel.on_message(self._mailbox.poster(self._took))

    @property
    def native(self) -> Any:
        """The native object; None once it is closed."""
        return self._channel

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
        return 0 if self._channel is None else int(self._channel.buffered_amount())

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
        if self._channel is not None:
            self._channel.close()

    def look(self) -> None:
        """See whether all that waited is on its way."""
        waited, self._waiting = self._waiting, self.bufferedAmount > 0
        if waited and not self._waiting:
            self.emit("bufferedamountlow")

    def end(self) -> None:
        """It is closed, with its peer or by itself; nothing more is emitted."""
        if self._state != "closed":
            self._state = "closed"
            bury(self._channel)
            self._channel = None
            self.emit("close")
            self.remove_all_listeners()

    def _opened(self) -> None:
        if self._state == "connecting":
            self._state = "open"
            self.emit("open")

    def _took(self, message: str | bytes) -> None:
        self.emit("message", message)
