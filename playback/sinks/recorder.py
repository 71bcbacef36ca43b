"""RecorderSink: what was said and what was heard, in a file."""

from __future__ import annotations

import atexit
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import av
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from playback.audio.formats import AudioFormat
from playback.events import Closed, Event
from playback.sinks.sinks import Chunk, When

if TYPE_CHECKING:
    from os import PathLike

_CODECS: Final = {"ogg": "libopus", "matroska": "libopus", "3gp": "aac", "flv": "aac"}
"""The codecs of the containers, in FFmpeg's names, for which its own choice is not what one expects of a recording."""

_EMPTY: Final = AudioFormat(48_000)
"""What a file without a single frame is written in."""


_UNFINISHED: Final[WeakSet[RecorderSink]] = WeakSet()
"""Those whose file may still be open. Each is held by its thread for as long as that runs, and by nothing here."""


@atexit.register
def _finish_all() -> None:
    for recorder in list(_UNFINISHED):
        recorder._finish()  # noqa: SLF001 - its own


class RecorderSink:
    """Records two channels: the speech alone on the left, all that was read on the right.

    Every frame that is read from when it was added is in the file, silence too, so times in it are times of playback;
    a wav or flac file holds exactly the samples that were read. Stereo is averaged to mono. Encoding and writing are
    done by a thread of its own. The file is finished once the controller is closed, by :meth:`close`, or at the latest
    when the interpreter exits.

    Example::

        recorder = controller.sinks.add(RecorderSink("call.flac"), when="played")
        ...
        controller.sinks.remove(recorder)
        recorder.close()

    Args:
        path: where to; its suffix names the container (wav, flac, ogg, opus, m4a, mp4, mp3, mka …).

    Raises:
        ValueError: a suffix that stands for no container of audio.
        OSError: the file can't be written.
    """

    when: Final[When] = "played"
    """When it hears, see :meth:`Sinks.add`."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path: Final = Path(path)
        """Where it writes."""
        self._container, self._codec = _open(self.path)
        self._queue: Final[SimpleQueue[Chunk | None]] = SimpleQueue()
        self._finished = False
        self._error: Exception | None = None
        self._told = False
        # A daemon, so that a recorder that nobody closes does not keep the interpreter; it is finished at exit.
        self._thread: Final = Thread(target=self._run, name=f"record {self.path.name}", daemon=True)
        self._thread.start()
        _UNFINISHED.add(self)

    def audio(self, chunk: Chunk) -> None:
        """Record a frame.

        Raises:
            Exception: what went wrong in the thread, once; nothing more is recorded then.
        """
        self._tell_error()
        if not self._finished and self._error is None:
            self._queue.put(replace(chunk, utterance=None))  # whose it was keeps all of a playout

    def control(self, event: Event) -> None:
        """Finish the file when the controller is closed; this does not wait for it.

        Raises:
            Exception: as :meth:`audio`.
        """
        if isinstance(event, Closed):
            self._end()
        self._tell_error()

    def close(self) -> None:
        """Finish the file, and wait for it; a second time there is nothing to do.

        Raises:
            Exception: what went wrong in the thread: the file is not whole.
        """
        self._finish()
        if self._error is not None:
            raise self._error

    def _tell_error(self) -> None:
        if self._error is not None and not self._told:
            self._told = True
            raise self._error

    def _end(self) -> None:
        """Take no more frames."""
        if not self._finished:
            self._finished = True
            self._queue.put(None)

    def _finish(self) -> None:
        self._end()
        self._thread.join()

    def _run(self) -> None:
        """What the thread does."""
        try:
            try:
                self._write()
            finally:
                self._container.close()
        except Exception as error:
            self._error = error
            while not self._queue.empty():  # nobody will write what is left
                self._queue.get()

    def _write(self) -> None:
        chunk = self._queue.get()
        rate = (_EMPTY if chunk is None else chunk.format).sample_rate
        stream: Any = self._container.add_stream(self._codec, rate=_encoded_rate(self._codec, rate), layout="stereo")
        self._container.start_encoding()
        written = 0
        while chunk is not None:
            frame = _frame(chunk, rate, written)
            written += frame.samples
            self._container.mux(stream.encode(frame))
            chunk = self._queue.get()
        self._container.mux(stream.encode(None))


def _open(path: Path) -> tuple[OutputContainer, str]:
    """Open a file for writing.

    Returns:
        The container, and the codec for what goes into it.
    """
    try:
        container = av.open(str(path), "w")
    except ValueError:
        raise ValueError(f"{path.name!r} does not name a container by its suffix, expected wav, flac, ogg …") from None
    codec = _CODECS.get(container.format.name, container.default_audio_codec)
    try:
        _try(codec)
    except (ValueError, av.FFmpegError):
        raise ValueError(
            f"{path.name!r} is no container of audio that can be written, but {container.format.name}"
        ) from None
    # The container opens the file only with its first frame, on another thread, where nobody would hear of this.
    path.open("wb").close()
    return container, codec


def _try(codec: str) -> None:
    """Open a codec once, as the thread will: some are listed that do not encode.

    Raises:
        ValueError, av.FFmpegError: it can't be used.
    """
    context: Any = av.CodecContext.create(codec, "w")
    formats = context.codec.audio_formats
    context.sample_rate = _encoded_rate(codec, _EMPTY.sample_rate)
    context.layout = "stereo"
    context.format = formats[0].name if formats else "s16"
    context.open()


def _encoded_rate(codec: str, rate: int) -> int:
    """The rate to encode at: the same, or the next that the codec knows; the encoder converts."""
    rates = av.codec.Codec(codec, "w").audio_rates
    if not rates or rate in rates:
        return rate
    return min((known for known in rates if known > rate), default=max(rates))


def _frame(chunk: Chunk, rate: int, start: int) -> av.AudioFrame:
    """The two channels of a recording."""
    voice = chunk.audio if chunk.voice is None else chunk.voice
    both = np.stack([_mono(voice), _mono(chunk.audio)], axis=1)
    frame = av.AudioFrame.from_ndarray(both.reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate = rate
    frame.pts = start
    return frame


def _mono(audio: NDArray[np.int16]) -> NDArray[np.int16]:
    return audio[:, 0] if audio.shape[1] == 1 else np.rint(audio.mean(axis=1)).astype(np.int16)
