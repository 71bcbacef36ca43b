"""RecorderSink: records the speech and the output, or the call, in a file."""

from __future__ import annotations

import atexit
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakSet

import av
import numpy as np
from numpy.typing import NDArray

from playback._checks import check_type
from playback.audio.formats import AudioFormat
from playback.events import Closed, Event, Stalled
from playback.sinks.caller import CallerTrack
from playback.sinks.chunks import Chunk, When
from playback.sinks.containers import RecordingFile, container_of, open_recording

if TYPE_CHECKING:
    from os import PathLike

_EMPTY: Final = AudioFormat(48_000)
"""What a file without a single frame is written in."""

_GAP_SECONDS: Final = 1.0
"""How much silence is encoded at a time."""


class _Piece(NamedTuple):
    """What is to be written."""

    chunk: Chunk
    gap: float
    """Seconds of silence before it."""
    gap_caller: bytes
    """What the caller said in that time."""
    caller: bytes | None


_UNFINISHED: Final[WeakSet[RecorderSink]] = WeakSet()
"""Those whose file may still be open. Each is held by its thread for as long as that runs, and by nothing here."""


@atexit.register
def _finish_all() -> None:
    for recorder in list(_UNFINISHED):
        recorder._finish()  # noqa: SLF001 - its own


class RecorderSink:
    """Records two channels: the speech in the left one, everything that was read in the right one.

    The file has every frame that is read after the sink was added, including silence. Where the reader was late and
    skipped ahead, the file has silence of that length, so that times in it match the clock. Without ``fill_gaps`` they
    match playback, and a wav or flac file holds exactly the samples that were read. Stereo is averaged to mono.

    With a ``caller``, the left channel has everything that was read and the right one the caller, in step within 0.1 s.

    Encoding and writing are done by a thread of its own, which hands all to the system within a second: a process that
    is killed loses no more than that, except in a few containers (see the guide). The file is finished once the
    controller is closed, by :meth:`close`, or at the latest when the interpreter exits.

    Example::

        recorder = controller.sinks.add(RecorderSink("call.flac"), when="played")
        ...
        controller.sinks.remove(recorder)
        recorder.close()

    Args:
        path: where to; its suffix names the container (wav, flac, ogg, opus, m4a, mp4, mp3, mka …).
        caller: a track with the caller's voice, such as ``MediaRelay().subscribe(track)``. It needs a running event
            loop once audio is read.
        fill_gaps: whether stalls leave silence.

    Raises:
        TypeError: ``fill_gaps`` is no bool, or the caller no track.
        ValueError: a suffix that stands for no container of audio, or for one that does not take every rate.
        OSError: the file can't be written.
    """

    when: Final[When] = "played"
    """When it hears, see :meth:`Sinks.add`."""

    def __init__(self, path: str | PathLike[str], *, caller: Any = None, fill_gaps: bool = True) -> None:
        check_type("fill_gaps", fill_gaps, bool)
        if caller is not None and not callable(getattr(caller, "recv", None)):
            raise TypeError(f"caller is {caller!r}, expected a track with recv()")
        self.path: Final = Path(path)
        """Where it writes."""
        self._settings: Final = container_of(self.path)
        self._file: Final = RecordingFile(self.path)
        self._caller: Final = CallerTrack(caller) if caller is not None else None
        self._fills_gaps: Final = fill_gaps
        self._gap = 0.0
        self._queue: Final[SimpleQueue[_Piece | None]] = SimpleQueue()
        self._finished = False
        self._error: BaseException | None = None
        self._was_raised = False
        # A daemon, so that a recorder that nobody closes does not keep the interpreter; it is finished at exit.
        self._thread: Final = Thread(target=self._run, name=f"record {self.path.name}", daemon=True)
        self._thread.start()
        _UNFINISHED.add(self)

    def audio(self, chunk: Chunk) -> None:
        """Record a frame.

        Raises:
            Exception: what went wrong in the thread, once; nothing more is recorded then. Or what went wrong with the
                caller's track, once; his channel is silent then.
        """
        if not self._finished and self._error is None:
            self._record(chunk)
        self._raise_error()

    def control(self, event: Event) -> None:
        """Finish the file when the controller is closed; this does not wait for it.

        Raises:
            Exception: as :meth:`audio`.
        """
        if isinstance(event, Closed):
            self._end()
        elif isinstance(event, Stalled) and self._fills_gaps:
            self._gap += event.seconds
        self._raise_error()

    def close(self) -> None:
        """Finish the file, and wait for it; a second time there is nothing to do.

        Raises:
            Exception: what went wrong in the thread: the file is not whole.
        """
        self._finish()
        if self._error is not None:
            raise self._error

    def _record(self, chunk: Chunk) -> None:
        gap, self._gap = self._gap, 0.0
        rate, before, said = chunk.format.sample_rate, b"", None
        if self._caller is not None:
            before = self._caller.take(round(gap * rate), rate)
            said = self._caller.take(len(chunk.audio), rate)
        chunk = replace(chunk, utterance=None)  # whose it was keeps all of a playout
        self._queue.put(_Piece(chunk, gap, before, said))

    def _raise_error(self) -> None:
        if self._caller is not None and (error := self._caller.error) is not None:
            self._caller.error = None  # his side is silent from now on
            raise error
        if self._error is not None and not self._was_raised:
            self._was_raised = True
            raise self._error

    def _end(self) -> None:
        """Take no more frames."""
        if not self._finished:
            self._finished = True
            self._queue.put(None)
            if self._caller is not None:
                self._caller.stop()

    def _finish(self) -> None:
        self._end()
        self._thread.join()

    def _run(self) -> None:
        """What the thread does."""
        try:
            try:
                self._write()
            finally:
                self._file.close()
        except BaseException as error:
            self._error = error
            while not self._queue.empty():  # nobody will write what is left
                self._queue.get()

    def _write(self) -> None:
        piece = self._queue.get()
        rate = (_EMPTY if piece is None else piece.chunk.format).sample_rate
        output, stream = open_recording(self._file, self._settings, rate)
        with output:
            written = 0
            while piece is not None:
                for both in _channels(piece, rate):
                    frame = _frame(both, rate, written)
                    written += frame.samples
                    output.mux(stream.encode(frame))
                piece = self._queue.get()
            output.mux(stream.encode(None))


def _channels(piece: _Piece, rate: int) -> list[NDArray[np.int16]]:
    """The two channels of what is to be written, one array for each frame of the encoder."""
    chunk = piece.chunk
    out = []
    gap = round(piece.gap * rate)
    said = np.frombuffer(piece.gap_caller.ljust(2 * gap, b"\0"), np.int16)
    step = int(_GAP_SECONDS * rate)
    for start in range(0, gap, step):
        right = said[start : start + step]
        out.append(np.stack([np.zeros_like(right), right], axis=1))
    heard = _mono(chunk.audio)
    if piece.caller is not None:
        out.append(np.stack([heard, np.frombuffer(piece.caller, np.int16)], axis=1))
    else:
        out.append(np.stack([heard if chunk.voice is None else _mono(chunk.voice), heard], axis=1))
    return out


def _frame(both: NDArray[np.int16], rate: int, start: int) -> av.AudioFrame:
    """Samples of two channels as a frame that begins at one of the file's samples."""
    frame = av.AudioFrame.from_ndarray(both.reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate = rate
    frame.pts = start
    return frame


def _mono(audio: NDArray[np.int16]) -> NDArray[np.int16]:
    return audio[:, 0] if audio.shape[1] == 1 else np.rint(audio.mean(axis=1)).astype(np.int16)
