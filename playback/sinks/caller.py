"""The caller's side of a recording: a track that comes in, in step with what is played."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from playback.audio.converter import Converter
from playback.audio.formats import AudioFormat, Layout, parse

_LEAD_SECONDS: Final = 0.06
"""How much has to be there before any is taken: three packets, for they do not come evenly."""

_MOST_SECONDS: Final = 0.4
"""More than this is late: a clock that runs faster, or a burst after a stall. The oldest is dropped."""


class CallerTrack:
    """What arrives from a track, at the rate of a recording.

    For the thread of the event loop. It takes over the track: whoever else wants its frames takes them from an
    ``aiortc.contrib.media.MediaRelay``.

    Args:
        track: anything with ``await recv()``, which gives frames of audio until it raises.
    """

    def __init__(self, track: Any) -> None:
        self._track: Final = track
        self._buffer = bytearray()
        self._format: AudioFormat | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_flowing = False
        self.error: Exception | None = None
        """What has ended it, if that was not the end of the track."""

    def take(self, samples: int, rate: int) -> bytes:
        """The next samples, 16 bits, of one channel; silence where there are none.

        Raises:
            RuntimeError: no event loop runs.
        """
        if self._task is None:
            self._format = AudioFormat(rate)
            self._task = asyncio.get_running_loop().create_task(self._listen(), name="recording the caller")
        wanted = 2 * samples
        lead, most = 2 * int(_LEAD_SECONDS * rate), 2 * int(_MOST_SECONDS * rate)
        if len(self._buffer) > max(most, wanted + lead):
            del self._buffer[: len(self._buffer) - lead - wanted]
        self._is_flowing = self._is_flowing or len(self._buffer) >= lead + wanted or self._task.done()
        if not self._is_flowing:
            return bytes(wanted)
        data = bytes(self._buffer[:wanted])
        del self._buffer[:wanted]
        self._is_flowing = len(data) == wanted
        return data.ljust(wanted, b"\0")

    def stop(self) -> None:
        """Take no more frames."""
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()

    async def _listen(self) -> None:
        from aiortc.mediastreams import MediaStreamError

        assert self._format is not None
        run: tuple[Layout, Converter] | None = None
        try:
            while True:
                block = parse(await self._track.recv(), self._format)
                if run is None or run[0] != block.layout:
                    run = block.layout, Converter(block.layout, self._format)
                self._buffer += run[1].convert(block.read())
        except MediaStreamError:  # its end
            pass
        except Exception as error:
            self.error = error
