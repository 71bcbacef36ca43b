"""``playback say`` and ``playback demo``: real speech through a real peer connection. Needs the extra ``demo``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import wave
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from playback import __version__
from playback.envelope import Samples
from playback.events import AudioRefused, Event, MarkReached, StateChanged, UtteranceFinished
from playback.formats import SAMPLE_BYTES, AudioFormat
from playback.pacing import frame_samples
from playback.report import UtteranceReport
from playback.session import RECEIVED_RATE, Cue, Recording, Session, parse_cue
from playback.speech import SpeechError, check_voice
from playback.utterance import Utterance

if TYPE_CHECKING:
    from rich.console import Console

NEEDS: Final = ("espeakng_loader", "matplotlib", "rich")
SOUNDS: Final = (".wav",)
PICTURES: Final = (".svg", ".png", ".pdf")
RECORDINGS: Final = (".wav", ".flac", ".ogg")
POLL_SECONDS: Final = 0.05

DEMO: Final = (
    (0.0, "say Your table is booked for eight o'clock, by the window. Shall I send you the address as well?"),
    (1.1, "pause"),
    (1.8, "resume 0.3"),
    (4.2, "interrupt lock"),
    (4.7, "say This one comes too late."),
    (5.2, "unlock"),
    (5.4, "say Of course. I have made it nine."),
    (6.6, "lock"),
    (7.8, "unlock"),
    (7.9, "say See you then!"),
)
"""What the demo does: a pause, a barge-in, an utterance that the lock turns away, and one that it lets end."""


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 0, 1 if the session was cut off or could not be held, 130 after Ctrl+C.

    Raises:
        SystemExit: with code 2, after a message about what was wrong with the arguments.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} not found: install it with pip install 'playback[demo]'")
    from rich.console import Console

    try:
        _check(options)
        session = _session(options)
    except ValueError as error:
        parser.error(str(error))
    console = Console(markup=False, highlight=False, soft_wrap=True)
    try:
        recording = asyncio.run(_perform(session, console))
        _tell(recording, console)
        _write(recording, options, console)
    except KeyboardInterrupt:
        return 130
    except (OSError, SpeechError) as error:  # TimeoutError, of the peer connection, is an OSError
        sys.stderr.write(f"playback: error: {error}\n")
        return 1
    if recording.timed_out:
        sys.stderr.write(f"playback: it was not over after {options.limit:g} s, and was cut off\n")
    return int(recording.timed_out)


# What is asked for


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="playback", description="Real speech through a real peer connection.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="program", required=True, metavar="{say,demo}")

    say = commands.add_parser("say", help="say a text, and give commands meanwhile")
    say.add_argument("text", help="what to say")
    say.add_argument(
        "--at",
        nargs=2,
        action="append",
        default=[],
        metavar=("SECONDS", "COMMAND"),
        help="a command at a time, such as --at 0.8 pause --at 2 'resume 0.4'; repeatable. Commands: pause, "
        "resume [SECONDS TO GO BACK], interrupt [lock], lock, unlock, say TEXT",
    )
    say.add_argument("--out", type=Path, metavar="FILE.wav", help="where to put the sound that was received")
    say.add_argument("--plot", type=Path, metavar="FILE.svg", help="where to put the picture (.svg, .png or .pdf)")
    say.add_argument("--voice", default="en", help="a voice of eSpeak NG's, such as en-us or de (default: %(default)s)")
    say.add_argument("--background", type=Path, metavar="FILE", help="a sound file to play beneath, again and again")
    say.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="where to record what is sent: the speech on the left, the mix on the right (.wav, .flac, .ogg)",
    )
    say.add_argument(
        "--rate", type=int, default=48_000, metavar="HZ", help="what the controller plays at (default: %(default)s)"
    )
    say.add_argument(
        "--limit", type=float, default=120.0, metavar="SECONDS", help="when to cut it off (default: %(default)g)"
    )

    demo = commands.add_parser("demo", help="a scripted session of ten seconds, with its sound and its picture")
    demo.add_argument(
        "--out", dest="directory", type=Path, default=Path("demo-output"), metavar="DIR", help="default: %(default)s"
    )
    demo.set_defaults(text=None, at=[], voice="en", rate=48_000, limit=60.0)
    return parser


def _session(options: argparse.Namespace) -> Session:
    """The session of a command line.

    Raises:
        ValueError: a cue that can't be read, or no such rate.
    """
    script = _script(options)
    try:
        frame_samples(AudioFormat(options.rate).sample_rate)
    except ValueError as error:
        raise ValueError(f"--rate: {error}; 48000 and 24000 will do") from None
    try:
        return Session(
            script,
            voice=options.voice,
            sample_rate=options.rate,
            limit_seconds=options.limit,
            background=options.background,
            record=options.record,
        )
    # Everything else was checked before: what is left is a file that can't be played.
    except (OSError, ValueError) as error:
        raise ValueError(f"--background: {error}") from None


def _script(options: argparse.Namespace) -> list[Cue]:
    """The cues of a command line.

    Raises:
        ValueError: one of them can't be read.
    """
    if options.text is None:
        return [Cue(at, command) for at, command in DEMO]
    if not options.text.strip():
        raise ValueError("there is nothing to say")
    try:
        return [Cue(0.0, f"say {options.text}"), *(parse_cue(at, command) for at, command in options.at)]
    except ValueError as error:
        raise ValueError(f"--at: {error}") from None


def _check(options: argparse.Namespace) -> None:
    """See to it that all can be done, before anything sounds; a demo gets its directory.

    Raises:
        ValueError: something can't.
    """
    if not 0 < options.limit < float("inf"):
        raise ValueError(f"--limit is {options.limit!r}, expected more than 0 seconds")
    try:
        check_voice(options.voice)
    except SpeechError as error:
        raise ValueError(f"--voice: {error}") from None
    if options.program == "demo":
        try:
            _prepare_demo(options)
        except OSError as error:
            raise ValueError(f"--out: {options.directory} can't be made: {error.strerror}") from None
    for option, path, suffixes in (
        ("--out", options.out, SOUNDS),
        ("--plot", options.plot, PICTURES),
        ("--record", options.record, RECORDINGS),
    ):
        if path is not None:
            if path.suffix.lower() not in suffixes:
                raise ValueError(f"{option}: {str(path)!r} does not end in {' or '.join(suffixes)}")
            _check_writable(option, path)


def _prepare_demo(options: argparse.Namespace) -> None:
    """Make the demo's directory, and the music for its background: four chords that lead into each other.

    Raises:
        OSError: they can't be written.
    """
    options.directory.mkdir(parents=True, exist_ok=True)
    options.out = options.directory / "session.wav"
    options.plot = options.directory / "session.svg"
    options.record = options.directory / "speech-and-mix.flac"
    options.background = options.directory / "background.wav"
    rate, chord_seconds = 24_000, 1.5
    time = np.arange(round(rate * chord_seconds)) / rate
    swell = np.sin(np.pi * time / chord_seconds) ** 2
    chords = [(220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7), (164.8, 196.0, 246.9)]
    music = np.concatenate(
        [swell * np.sum([np.sin(2 * np.pi * hertz * time) for hertz in chord], 0) for chord in chords]
    )
    _write_wav(np.rint(music / 3 * 0.8 * 32767).astype(np.int16), rate, options.background)


def _check_writable(option: str, path: Path) -> None:
    """Open a file for writing, which tells more than its permissions do, and leave no trace."""
    existed = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise ValueError(f"{option}: {str(path)!r} can't be written: {error.strerror}") from None
    if not existed:
        path.unlink()


# While it plays


async def _perform(session: Session, console: Console) -> Recording:
    """Run the session, and show how it goes: in one line on a terminal, else a line for each change."""
    task = asyncio.create_task(session.run())
    try:
        with console.status("connecting") if console.is_terminal else nullcontext() as status:
            told = 0
            while not task.done():
                await asyncio.wait({task}, timeout=POLL_SECONDS)
                if status is not None:
                    status.update(_line(session.controller.position, session.controller.leaf, session.recording))
                events = session.recording.events
                for event in events[told:] if status is None else ():
                    if isinstance(event, StateChanged):
                        console.print(_line(event.position, event.new_leaf, session.recording))
                told = len(events)
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _line(position: int, leaf: str, recording: Recording) -> str:
    """Where playback stands, and the words so far: the newest of them, if they are many."""
    words = " ".join(word for _, word in recording.words)
    return f"{position / recording.sample_rate:7.2f} s  {leaf:19} {words if len(words) <= 48 else '... ' + words[-44:]}"


# When it is over


def _tell(recording: Recording, console: Console) -> None:
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
            return f"{event.utterance.id} {event.report.outcome}"
    values = ((field.name, getattr(event, field.name)) for field in fields(event) if field.name != "position")
    return ", ".join(_value(name, value, recording) for name, value in values if value is not None)


def _value(name: str, value: object, recording: Recording) -> str:
    """What an event tells, as people read it: whole numbers are samples, others are seconds."""
    match value:
        case Utterance():
            return value.id
        case int():
            return f"{name} {_in_seconds(value, recording)}"
        case float():
            return f"{name} {value:.3f}"
    return f"{name} {value}"


def _in_seconds(samples: int, recording: Recording) -> str:
    return f"{samples / recording.sample_rate:.3f} s"


def _write(recording: Recording, options: argparse.Namespace, console: Console) -> None:
    """Write the files that were asked for.

    Raises:
        OSError: one can't be written.
    """
    if options.out is not None:
        _write_wav(recording.received, RECEIVED_RATE, options.out)
        console.print(f"sound, as it was received: {options.out}")
    if options.record is not None:
        console.print(f"sound, as it was sent, speech on the left and the mix on the right: {options.record}")
    if options.plot is not None:
        from playback.plot import draw

        draw(recording, options.plot)
        console.print(f"picture: {options.plot}")


def _write_wav(samples: Samples, sample_rate: int, path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(sample_rate)
        file.writeframes(samples.astype("<i2").tobytes())


if __name__ == "__main__":
    sys.exit(main())
