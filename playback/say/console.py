"""What the command line shows: how a session goes, and what came of it. Needs the extra ``demo``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from playback.events import (
    AudioRefused,
    Event,
    MarkReached,
    StateChanged,
    TurnFinished,
    UtteranceFinished,
    names_of_fields,
)
from playback.report import UtteranceReport
from playback.say.call import Session
from playback.say.recording import Recording
from playback.turn import Turn
from playback.utterance import Utterance

if TYPE_CHECKING:
    from rich.console import Console

POLL_SECONDS: Final = 0.05


async def perform(session: Session, console: Console) -> Recording:
    """Run the session, and show how it goes: in one line on a terminal, else a line for each change."""
    task = asyncio.create_task(session.run())
    try:
        with console.status("connecting") if console.is_terminal else nullcontext() as status:
            shown = 0
            while not task.done():
                await asyncio.wait({task}, timeout=POLL_SECONDS)
                if status is not None:
                    status.update(_line(session.controller.position, session.controller.leaf, session.recording))
                events = session.recording.events
                for event in events[shown:] if status is None else ():
                    if isinstance(event, StateChanged):
                        console.print(_line(event.position, event.new_leaf, session.recording))
                shown = len(events)
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _line(position: int, leaf: str, recording: Recording) -> str:
    """Where playback stands, and the words so far: the newest of them, if they are many."""
    words = " ".join(word for _, word in recording.words)
    return f"{position / recording.sample_rate:7.2f} s  {leaf:19} {words if len(words) <= 48 else '... ' + words[-44:]}"


def summarize(recording: Recording, console: Console) -> None:
    """Show the events and the reports."""
    from rich.table import Table
    from rich.text import Text

    log = Table("time", "event", "detail", title="Events", title_justify="left")
    log.columns[0].justify = "right"
    for at, name, detail in _log(recording):
        log.add_row(f"{at:.3f}", name, Text(detail))
    console.print(log)
    reports = Table("utterance", "outcome", "played", "discarded", "heard", title="Reports", title_justify="left")
    for report in recording.reports:
        played, discarded = (_in_seconds(samples, recording) for samples in (report.played, report.discarded))
        reports.add_row(Text(report.id), report.outcome, played, discarded, _heard(report))
    console.print(reports)


def _heard(report: UtteranceReport) -> Any:
    """What was heard of an utterance, and, dimmed, what was not."""
    from rich.text import Text

    heard, text = report.heard or "", report.text or ""
    lost = text.removeprefix(heard)
    return Text.assemble(heard, (f"|{lost}", "dim strike") if lost else "")


def _log(recording: Recording) -> Iterator[tuple[float, str, str]]:
    """The rows of the event log: seconds, event, detail. A command stands before what came of it."""
    cues = list(recording.cues)
    for event, *more in recording.runs:
        while cues and cues[0][0] <= event.position:
            position, command = cues.pop(0)
            yield position / recording.sample_rate, "> command", command
        detail = _detail(event, recording)
        if more:
            samples = sum(refused.samples for refused in (event, *more) if isinstance(refused, AudioRefused))
            detail = f"{detail} (and {len(more)} more, {_in_seconds(samples, recording)} in all)"
        yield event.position / recording.sample_rate, event.name, detail


def _detail(event: Event, recording: Recording) -> str:
    match event:
        case StateChanged():
            return f"{event.old_leaf} -> {event.new_leaf}"
        case MarkReached():
            return f"{event.payload} ({_in_seconds(event.at, recording)} into {event.utterance.id})"
        case UtteranceFinished():
            error = event.report.error
            return f"{event.utterance.id} {event.report.outcome}{f': {error}' if error is not None else ''}"
        case TurnFinished():
            return f"{event.turn.id} {event.report.outcome}"
    values = ((name, getattr(event, name)) for name in names_of_fields(type(event)))
    return ", ".join(_value(name, value, recording) for name, value in values if value is not None)


def _value(name: str, value: object, recording: Recording) -> str:
    """What an event holds, as people read it: whole numbers are samples, others are seconds."""
    match value:
        case Utterance() | Turn():
            return value.id
        case int():
            return f"{name} {_in_seconds(value, recording)}"
        case float():
            return f"{name} {value:.3f}"
    return f"{name} {value}"


def _in_seconds(samples: int, recording: Recording) -> str:
    return f"{samples / recording.sample_rate:.3f} s"
