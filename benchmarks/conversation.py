"""``python -m benchmarks.conversation [--json FILE]``: whole conversations with an agent, measured from the audio.

voicebench, an independent benchmark, plays a user into ``examples/voicebench_agent.py`` over a WebSocket and records
both sides. Two sessions run at the same time: one with the policy's defaults, and a short one in which the agent is
paused at once. What the agent has logged of itself is kept beside what was heard.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from voicebench.adapters import create_adapter
from voicebench.audio import write_wav
from voicebench.metrics import SessionMetrics, TurnResult, analyze
from voicebench.runner import SessionRecord, run
from voicebench.scenario import parse_scenario

from benchmarks.machine import about
from benchmarks.voices import Saying, Voice, say
from playback.bargein.recognizer import RATE

AGENT: Final = Path(__file__).parents[1] / "examples" / "voicebench_agent.py"
VOICES: Final = (Voice("flite", "rms"), Voice("espeak", "en-us"))
"""The user's: the first that is installed."""
BETWEEN_SECONDS: Final = 0.3
"""From one question to the next, which begins before the first is answered."""
FRAME: Final = RATE // 100
DOWN_DB: Final = 12.0
SILENT_DBFS: Final = -51.0
"""Below it, voicebench takes the agent to be silent."""

TURNS: Final = (
    {"id": "greeting", "start": {"delay_ms": 300}},
    {"id": "question", "start": {"delay_ms": 300}},
    {"id": "sentence", "start": {"after": "agent_speech_start", "delay_ms": 1200}, "expect": "stop"},
    {"id": "stop", "start": {"after": "agent_speech_start", "delay_ms": 1200}, "expect": "stop"},
    {"id": "next", "start": {"after": "previous_turn_end", "delay_ms": 2000}},
    {"id": "cough", "start": {"after": "agent_speech_start", "delay_ms": 1000}, "expect": "ignore"},
    {"id": "mm hm", "start": {"after": "previous_turn_end", "delay_ms": 1800}, "expect": "ignore"},
    {"id": "early", "start": {"delay_ms": 300}},
)  # fmt: skip
"""In voicebench's terms; without ``expect``, the agent has to answer, and not before the user has ended."""
SESSIONS: Final[Mapping[str, tuple[Sequence[Mapping[str, Any]], Mapping[str, float]]]] = {
    "defaults": (TURNS, {}),
    "pauses at once": (TURNS[:4], {"pause_after_seconds": 0.0}),
}
"""The turns of each, and the policy's options."""


@dataclass
class Heard:
    """One session: what voicebench has recorded and found, and what the agent has logged."""

    record: SessionRecord
    metrics: SessionMetrics
    log: list[dict[str, Any]] = field(default_factory=list)

    def turn(self, id: str) -> TurnResult:
        """What was found of one turn of the user."""
        return next(turn for turn in self.metrics.turns if turn.id == id)

    def logged(self, name: str) -> list[dict[str, Any]]:
        """The agent's events of a name."""
        return [event for event in self.log if event["name"] == name]

    def levels(self, begin: float, end: float) -> NDArray[np.float64]:
        """How loud the agent is, in dBFS for each 10 ms between two times in seconds."""
        track = self.record.agent_track[round(begin * RATE) : round(end * RATE)].astype(np.float64)
        frames = track[: len(track) // FRAME * FRAME].reshape(-1, FRAME)
        levels: NDArray[np.float64] = 10 * np.log10(np.maximum(np.mean(frames**2, axis=1), 1e-12))
        return levels

    def down_ms(self, id: str) -> float:
        """How long the user has spoken when the agent is :data:`DOWN_DB` softer than at its loudest a second before."""
        onset = self.turn(id).user_onset_s
        assert onset is not None
        loud = float(self.levels(onset - 1.0, onset).max()) - DOWN_DB
        after = self.levels(onset, onset + 2.0)[: self.silent_after(onset)]
        return 10.0 * float(np.flatnonzero(after > loud)[-1] + 1) if (after > loud).any() else 0.0

    def silent_after(self, onset: float) -> int:
        """After how many frames the agent falls silent for a quarter of a second."""
        sounds = self.levels(onset, onset + 3.0) > SILENT_DBFS
        return next((at for at in range(len(sounds)) if not sounds[at : at + 25].any()), len(sounds))

    def gap_ms(self, id: str) -> float:
        """The longest silence of the agent's from a sound of the user's until a second after it."""
        turn = self.turn(id)
        assert turn.user_onset_s is not None
        assert turn.user_offset_s is not None
        longest = run = 0
        for sounds in self.levels(turn.user_onset_s, turn.user_offset_s + 1.0) > SILENT_DBFS:
            run = 0 if sounds else run + 1
            longest = max(longest, run)
        return 10.0 * longest


def user_audio(voice: Voice) -> dict[str, NDArray[np.float32]]:
    """What the user says in each turn, full scale 1."""

    def spoken(text: str, flite: str = "", espeak: str = "") -> NDArray[np.float32]:
        return say(voice, Saying(text, flite, espeak)).astype(np.float32) / np.float32(32768)

    pause = np.zeros(round(BETWEEN_SECONDS * RATE), np.float32)
    return {
        "greeting": spoken("Hello there."),
        "question": spoken("What time do you open?"),
        "sentence": spoken("No, wait, I would like another table."),
        "stop": spoken("Stop."),
        "next": spoken("What is on the menu?"),
        "cough": cough(),
        "mm hm": spoken("mm hm", "pau m hh m pau", "m-h'm-"),
        "early": np.concatenate([spoken("What time do you open?"), pause, spoken("How much does it cost?")]),
    }


def cough() -> NDArray[np.float32]:
    """Two bursts of noise, of a third of a second together: each sets in at once and dies away."""
    rng = np.random.default_rng(3)
    bursts = []
    for seconds, peak in ((0.14, 0.5), (0.2, 0.3)):
        times = np.arange(round(seconds * RATE)) / RATE
        noise = np.convolve(rng.normal(size=len(times)), np.ones(4) / 4, "same")
        bursts.append(peak * noise * np.exp(-times / 0.05))
    audio: NDArray[np.float32] = np.concatenate(bursts).astype(np.float32)
    return audio


async def converse() -> dict[str, Heard]:
    """Hold both conversations, which takes three quarters of a minute.

    Raises:
        voicebench.adapters.base.AdapterError: the agent is not there, or has ended too soon.
    """
    voice = next(voice for voice in VOICES if voice.is_there)
    agent = await asyncio.create_subprocess_exec(sys.executable, str(AGENT), "--port", "0", stdout=PIPE)
    assert agent.stdout is not None
    try:
        port = json.loads(await agent.stdout.readline())["listening"]
        reading = asyncio.create_task(_read_all(agent.stdout))
        with TemporaryDirectory() as folder:
            for name, audio in user_audio(voice).items():
                write_wav(Path(folder) / f"{name}.wav", audio, RATE)
            records = await asyncio.gather(
                *(_session(folder, port, name, turns, options) for name, (turns, options) in SESSIONS.items())
            )
    finally:
        agent.terminate()
        await agent.wait()
    log = await reading
    return {
        name: Heard(record, analyze(record), [event for event in log if event["session"] == name])
        for name, record in zip(SESSIONS, records, strict=True)
    }


async def _read_all(stream: asyncio.StreamReader) -> list[dict[str, Any]]:
    return [json.loads(line) async for line in stream]


async def _session(
    folder: str, port: int, name: str, turns: Sequence[Mapping[str, Any]], options: Mapping[str, float]
) -> SessionRecord:
    files = [{**turn, "audio": {"file": f"{turn['id']}.wav"}} for turn in turns]
    defaults = {"max_stop_ms": 2000, "response_timeout_ms": 6000}
    scenario = {"name": name, "sample_rate": RATE, "tail_ms": 1000, "defaults": defaults, "turns": files}
    start = {"session": name, **options}
    adapter = create_adapter("websocket", {"url": f"ws://127.0.0.1:{port}", "start_message": start})
    return await run(parse_scenario(scenario, Path(folder)), adapter)


def table(heard: Mapping[str, Heard]) -> str:
    """What was found, as Markdown: a line for each turn of the user."""
    lines = [
        "| `pause_after_seconds` | turn of the user | passed | answered after"
        " | 12 dB softer after | silent after | longest gap |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (_, options) in SESSIONS.items():
        for turn in heard[name].metrics.turns:
            down = f"{heard[name].down_ms(turn.id):.0f} ms" if turn.expect == "stop" else ""
            gap = f"{heard[name].gap_ms(turn.id):.0f} ms" if turn.expect == "ignore" else ""
            answered = _ms(turn.response_latency_ms) if turn.expect == "respond" else ""
            lines.append(
                f"| {options.get('pause_after_seconds', 0.35):g} | {turn.id} | {'yes' if turn.passed else '**no**'}"
                f" | {answered} | {down} | {_ms(turn.stop_latency_ms)} | {gap} |"
            )
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"


def main() -> None:
    """Converse, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write what was found, and the agent's log, to a file")
    options = parser.parse_args()
    heard = asyncio.run(converse())
    print(table(heard))
    if options.json:
        found = {name: {"found": each.metrics.to_dict(), "log": each.log} for name, each in heard.items()}
        options.json.write_text(json.dumps({"machine": about(), **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
