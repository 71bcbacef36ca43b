"""Replay: a trace's calls, given to a fresh controller, with silence in place of the audio."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import numpy as np

from playback.audio.clip import Mark
from playback.audio.formats import AudioFormat, Block, FormatError, Layout
from playback.core.confirming import NoReaderConfirms
from playback.core.limits import BufferFull
from playback.core.playout import Playout
from playback.tracing.fields import LONGEST_SECONDS, MOST_READS, printable
from playback.tracing.records import Settings, TracedCall, TraceError
from playback.tracing.trace import Trace
from playback.turn import Turn
from playback.utterance import Utterance


def replay(trace: Trace) -> Trace:
    """Give a fresh playout the calls of a trace.

    Returns:
        The trace of that.

    Raises:
        TraceError: the beginning is missing, the calls do not go together, or they read more than 24 hours of audio, or
            more often than reads of 20 ms would.
    """
    if not trace.fresh or trace.dropped:
        missing = f"its first {trace.dropped} records were dropped" if trace.dropped else "its controller was in use"
        raise TraceError(
            f"the trace can be shown, but not replayed, because {missing}:"
            " begin it right after making the controller, with Trace(controller, limit=None)"
        )
    replayer = _Replayer(trace.settings)
    longest = trace.settings.format.samples(LONGEST_SECONDS)
    reads = samples = 0
    for number, call in enumerate(trace.calls, 1):
        try:
            if call.name == "read":  # a few digits of a line could keep it busy for ever
                reads += call.times
                samples += call.times * call.arguments["samples"]
                _check_length(reads, MOST_READS, "reads")
                _check_length(samples, longest, "samples")
            for _ in range(call.times):
                replayer.carry_out(call)
        except KeyError as error:
            raise TraceError(
                f"call {number} ({call}): there is no utterance {error}, expected one that was made before"
            ) from None
        except (MemoryError, OverflowError):
            raise TraceError(f"call {number} ({call}): the buffer is full, expected less audio") from None
        # FormatError, too: a file may hold whatever looks like a call.
        except (TypeError, ValueError, NoReaderConfirms) as error:
            raise TraceError(printable(f"call {number} ({call}): {error}")) from None
    return replayer.trace


def _check_length(length: int, most: int, unit: str) -> None:
    """See that a trace is no longer than a day.

    Raises:
        ValueError: it is.
    """
    if length > most:
        hours = LONGEST_SECONDS // 3600
        raise ValueError(f"{length:,} {unit} in all, expected less audio: at most {most:,} {unit}, as in {hours} hours")


class _Replayer:
    """A playout, and the utterances that a trace has made.

    Args:
        settings: the controller's.

    Raises:
        TraceError: there can't be a controller with such settings.
    """

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        if not limits.prebuffer <= limits.high_water <= limits.maximum:
            raise TraceError(f"the trace's settings are {limits}, expected prebuffer ≤ high water ≤ maximum")
        self._playout: Final = Playout(settings.format, limits, settings.fades)
        self.trace: Final = Trace.of(settings)
        self._playout.observers.add(self.trace)
        self._utterances: Final[dict[int | None, Utterance]] = {}
        self._turns: Final[dict[int, Turn]] = {}

    def carry_out(self, call: TracedCall) -> None:
        """Do what was done.

        Raises:
            KeyError: to an utterance that is not there.
            MemoryError: with more audio than there can be.
        """
        playout, utterances, arguments = self._playout, self._utterances, call.arguments
        producers, reader = playout.input, playout.output
        number = arguments.get("utterance")
        match call.name:
            case "utterance":
                made: dict[str, Any] = {name: arguments[name] for name in ("id", "text", "interruptible")}
                turn = None if arguments["in_turn"] is None else self._turns[arguments["in_turn"]]
                made |= {"first": arguments["first"], "turn": turn}
                utterance = Utterance(producers, format=AudioFormat(**arguments["format"]), **made)
                utterances[number] = utterance
                producers.first_use(utterance, arguments["stale"])
            case "push":
                with suppress(BufferFull, FormatError):  # it was raised to a producer, and nothing was taken
                    producers.push_block(utterances[number], _silence(arguments), arguments["bounded"])
            case "enqueue" | "refuse_enqueue":
                producers.enqueue(utterances[number])
            case "push_from_thread":
                with suppress(FormatError):
                    producers.push_from_thread(utterances[number], _silence(arguments))
            case "refuse":
                producers.refuse_block(None if number is None else utterances[number], _silence(arguments))
            case "mark":
                producers.mark(utterances[number], Mark(arguments["at"], arguments["until"], arguments["payload"]))
            case "unmark":
                producers.unmark(utterances[number], Mark(arguments["at"], arguments["until"], arguments["payload"]))
            case "end":
                producers.end_input(utterances[number], arguments["cut_short"], _error(arguments["error"]))
            case "cancel":
                producers.cancel(utterances[number])
            case "turn":
                position, generation = playout.transitions.playhead.position, producers.generation
                made = {"id": arguments["id"], "stop_on_failure": arguments["stop_on_failure"]}
                turn = Turn(playout.turns, generation=generation, position=position, is_open=True, **made)
                self._turns[arguments["turn"]] = turn
                with suppress(RuntimeError):  # it was raised to the application: another one was open
                    playout.turns.open_turn(turn)
            case "end_turn":
                playout.turns.end_turn(self._turns[arguments["turn"]])
            case "cancel_turn":
                playout.turns.cancel_turn(self._turns[arguments["turn"]])
            case "fail_turn":
                error = _error(arguments["error"])
                playout.turns.fail_turn(self._turns[arguments["turn"]], error or RuntimeError())
            case "unlock":
                playout.command(call.name)
            case "pause":
                playout.pause(arguments["by"])
            case "resume":
                playout.resume(arguments["by"], arguments["rewind"])
            case "interrupt":
                playout.interrupt(**arguments)
            case "lock":
                playout.lock()
            case "close":
                playout.close()
            case "read":
                reader.read(memoryview(bytearray(arguments["samples"] * self.trace.settings.format.frame_bytes)))
            case "attach":
                playout.confirming.attach(None)
            case "confirm":
                playout.confirming.confirm(arguments["samples"])
            case "recall":
                playout.confirming.recalled(arguments["samples"])
            case "detach":
                playout.confirming.detach()
            case "gain":
                with suppress(TypeError, ValueError):
                    reader.set_gain(_number(arguments["gain_db"]))
            case "stalled":
                reader.stalled(_number(arguments["seconds"]))
            case "far_end":
                trip = arguments["round_trip_seconds"]
                numbers = _number(arguments["loss"]), _number(arguments["jitter_seconds"])
                reader.far_end(*numbers, None if trip is None else _number(trip))


def _silence(arguments: dict[str, Any]) -> Block:
    """Audio of the same shape."""
    layout = Layout(*arguments["layout"])
    # One sample that stands for all of them: a file may name more than there is memory for.
    sample = np.zeros(1, f"V{layout.frame_bytes}")
    data = np.broadcast_to(sample, (arguments["samples"],))
    return Block(layout, data, arguments["samples"], bytes(arguments["partial"]), arguments["dropped"])


def _error(error: dict[str, str] | None) -> BaseException | None:
    """An exception of the same name, with the same message."""
    return None if error is None else type(error["type"], (Exception,), {})(error["message"])


def _number(value: Any) -> float:
    """A number; infinity, which JSON does not have, was kept as its name."""
    return float(value["repr"] if isinstance(value, dict) else value)
