"""Replay: a trace's calls, given to a fresh controller, with silence in place of the audio."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from playback.audio.clip import Mark
from playback.audio.formats import AudioFormat, Block, FormatError, Layout
from playback.controller import PlaybackController
from playback.core.queue import BufferFull
from playback.tracing.records import Settings, TracedCall, TraceError
from playback.tracing.trace import Trace
from playback.utterance import Utterance


def replay(trace: Trace) -> Trace:
    """See :meth:`Trace.replay`."""
    if not trace.fresh or trace.dropped:
        missing = f"its first {trace.dropped} records were dropped" if trace.dropped else "its controller was in use"
        raise TraceError(
            f"the trace can be shown, but not replayed, for {missing}:"
            " begin it right after making the controller, with controller.trace(limit=None)"
        )
    replayer = _Replayer(trace.settings)
    for number, call in enumerate(trace.calls, 1):
        try:
            for _ in range(call.times):
                replayer.carry_out(call)
        except KeyError as error:
            raise TraceError(f"call {number} ({call}): expected an utterance that is there, not {error}") from None
        except (MemoryError, OverflowError):
            raise TraceError(f"call {number} ({call}): expected less audio") from None
        except (TypeError, ValueError) as error:  # FormatError, too: a file may hold whatever looks like a call
            raise TraceError(f"call {number} ({call}): {error}") from None
    replayer.trace.stop()
    return replayer.trace


class _Replayer:
    """A controller, and the handles that a trace has made."""

    def __init__(self, settings: Settings) -> None:
        controller = _controller(settings)
        self.trace: Final = controller.trace(limit=None)
        self._controller: Final = controller
        self._playout: Final = controller._playout
        # Nothing else holds a handle: one that is dropped is gone at once, as it was.
        self._handles: Final[dict[int | None, Utterance]] = {}

    def carry_out(self, call: TracedCall) -> None:
        """Do what was done.

        Raises:
            KeyError: to an utterance that is not there.
            MemoryError: with more audio than there can be.
        """
        playout, handles, arguments = self._playout, self._handles, call.arguments
        number = arguments.get("utterance")
        match call.name:
            case "utterance":
                made = {name: arguments[name] for name in ("id", "text", "interruptible")}
                handles[number] = self._controller._make(format=AudioFormat(**arguments["format"]), **made)
            case "admit":
                playout.admit(handles[number], object() if arguments["stale"] else None)
            case "drop":
                del handles[number]
            case "push":
                with suppress(BufferFull, FormatError):  # it was raised to a producer, and nothing was taken
                    playout.push_block(handles[number], _silence(arguments))
            case "push_from_thread":
                with suppress(FormatError):
                    playout.push_from_thread(handles[number], _silence(arguments))
            case "refuse":
                playout.refuse_block(None if number is None else handles[number], _silence(arguments))
            case "mark":
                playout.mark(handles[number], Mark(arguments["at"], arguments["until"], arguments["payload"]))
            case "end":
                self._end(handles[number], arguments["cut_short"])
            case "cancel":
                playout.cancel(handles[number])
            case "pause" | "unlock":
                playout.command(call.name)
            case "resume":
                playout.resume(arguments["rewind"])
            case "interrupt":
                playout.interrupt(lock=arguments["lock"], force=arguments["force"])
            case "lock":
                playout.lock()
            case "close":
                playout.close()
            case "read":
                playout.read(memoryview(bytearray(arguments["samples"] * playout.format.frame_bytes)))
            case "gain":
                with suppress(TypeError, ValueError):
                    playout.set_gain(_number(arguments["gain_db"]))
            case "stalled":
                playout.stalled(_number(arguments["seconds"]))

    def _end(self, utterance: Utterance, cut_short: bool) -> None:
        """End an utterance, as if a write of it waited where one did."""
        waiting = [utterance] if cut_short else []
        self._playout._writing.extend(waiting)
        self._playout.end(utterance)
        del self._playout._writing[:]


def _controller(settings: Settings) -> PlaybackController:
    """A controller with these settings.

    Raises:
        TraceError: there can't be one.
    """
    limits, seconds = settings.limits, settings.format.seconds
    try:
        return PlaybackController(
            settings.format,
            input_format=settings.input_format,
            fades=settings.fades,
            cushion_seconds=seconds(limits.cushion),
            high_water_seconds=seconds(limits.high_water),
            max_buffered_seconds=seconds(limits.maximum),
            history_seconds=seconds(limits.history),
            starve_seconds=None if limits.starve is None else seconds(limits.starve),
        )
    except (ValueError, OverflowError) as error:
        raise TraceError(f"the trace's settings can't be: {error}") from None


def _silence(arguments: dict[str, Any]) -> Block:
    """Audio of the same shape."""
    layout = Layout(*arguments["layout"])
    data = bytes(arguments["samples"] * layout.frame_bytes)
    return Block(layout, data, arguments["samples"], bytes(arguments["dangling"]), arguments["dropped"])


def _number(value: Any) -> float:
    """A number; infinity, which JSON does not have, was kept as its name."""
    return float(value["repr"] if isinstance(value, dict) else value)
