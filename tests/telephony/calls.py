"""Calls with a made-up agent and a carrier that plays them, and what has to hold of each."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback import AudioFormat, Fades, PlaybackController, Utterance
from playback.telephony import CallEnd, PhoneCall, answer
from tests.telephony.carrier import Carrier
from tests.telephony.shapes import TelnyxSide, TwilioSide, VonageSide
from tests.telephony.signals import MOST, Signals

MARK_SECONDS: Final = 0.1
CUTS: Final = Fades(0.0, 0.0, 0.0, 0.0)
"""Without ramps, every sample that sounds is one that was pushed."""


def plain(output: AudioFormat) -> PlaybackController:
    """A controller without ramps."""
    return PlaybackController(output, fades=CUTS)


def sides() -> list[TwilioSide]:
    """One of each carrier, with all encodings and rates."""
    return [
        TwilioSide(),
        TelnyxSide("PCMA"),
        TelnyxSide("L16", 8_000),
        TelnyxSide("L16", 16_000),
        TelnyxSide("L16", 24_000),
        VonageSide(8_000),
        VonageSide(16_000),
        VonageSide(24_000),
    ]


@dataclass
class Doings:
    """What an agent has done in a call."""

    utterances: list[Utterance] = field(default_factory=list)
    cut_at: dict[int, float] = field(default_factory=dict)
    """When each utterance was interrupted."""


async def random_call(seed: int) -> None:
    """Hold a call in which everything is random, and see that what is reported is what was played."""
    chosen = random.Random(seed)
    side = chosen.choice(sides())
    latency, jitter = chosen.uniform(0.02, 0.4), chosen.choice((0.0, 0.02, 0.1))
    carrier = Carrier(side, latency, jitter, seed, echoes=chosen.random() < 0.8)
    signals, done = Signals(side.rate, side.encoding), Doings()

    async def agent(call: PhoneCall) -> None:
        for number in range(chosen.randint(1, MOST)):
            await _utter(call.controller, signals, number, side.rate, chosen, done)

    end = await answer(carrier, side.dialect(), agent, controller=plain, mark_seconds=MARK_SECONDS)
    await asyncio.sleep(2.0)
    carrier.finish()
    assert end == CallEnd("agent", 1000, "the call has ended")
    check(carrier, signals, done)


async def _utter(
    controller: PlaybackController,
    signals: Signals,
    number: int,
    rate: int,
    chosen: random.Random,
    done: Doings,
) -> None:
    """Say something, and do something with it."""
    loop = asyncio.get_running_loop()
    audio = signals.make(number, round(chosen.uniform(0.05, 1.5) * rate))
    utterance = controller.utterance(id=str(number))
    done.utterances.append(utterance)
    feeding = asyncio.create_task(_feed(utterance, audio, rate, chosen.choice((0.0, 0.5, 0.9, 1.5))))
    deed = chosen.choice(("listen", "interrupt", "pause", "pause", "both"))
    await asyncio.sleep(chosen.uniform(0.0, 1.5))
    if deed in ("pause", "both"):
        for _ in range(chosen.randint(1, 3)):
            controller.pause()
            await asyncio.sleep(chosen.uniform(0.0, 1.0))
            controller.resume()
            await asyncio.sleep(chosen.uniform(0.0, 0.5))
    if deed in ("interrupt", "both"):
        if utterance.report is None:
            done.cut_at[number] = loop.time()
        controller.interrupt()
    await feeding
    await utterance.wait()


async def _feed(utterance: Utterance, audio: NDArray[np.int16], rate: int, pace: float) -> None:
    """Push audio in pieces of 100 ms, each so many times its length after the last."""
    for start in range(0, len(audio), rate // 10):
        utterance.push(audio[start : start + rate // 10])
        await asyncio.sleep(pace / 10)
    utterance.end()


def check(carrier: Carrier, signals: Signals, done: Doings) -> None:
    """See that the reports of a call say what its speaker has played."""
    rate = carrier.side.rate
    way = carrier.latency + carrier.jitter
    slack = signals.block / rate + 0.001
    # What lies between two marks, what a mark takes back and a clear there, and a frame.
    bound = MARK_SECONDS + 2 * way + 0.02 + slack
    times = np.concatenate([np.zeros(0), *(each.at + np.arange(len(each.samples)) / rate for each in carrier.played)])
    numbers, places = signals.read(carrier.speech)
    assert carrier.fullest <= 0.2 + carrier.jitter + 0.001
    for number, utterance in enumerate(done.utterances):
        report = utterance.report
        assert report is not None
        heard = numbers == number
        farthest, back, gap = signals.follow(places[heard])
        about = f"utterance {number}: {report}, of which {farthest / rate} s were played, {back=} {gap=} {bound=}"
        assert not gap, about
        assert back / rate <= bound, about
        assert report.played <= farthest + signals.block - 1, about
        assert (farthest - report.played) / rate <= bound, about
        if report.outcome == "completed":
            assert report.played == report.accepted, about
            assert farthest + signals.block > report.accepted, about
        if number in done.cut_at and heard.any():
            assert times[heard].max() <= done.cut_at[number] + way + 0.001, about
