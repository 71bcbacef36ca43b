"""What is only bounded: carriers without marks, and without a clear. And what a call brings from the caller."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np
import pytest

from playback import AudioFormat
from playback.telephony import CallEnd, Dialect, Message, PhoneCall, Twilio, answer
from tests.telephony.calls import plain, sides
from tests.telephony.carrier import Carrier
from tests.telephony.shapes import Command, TwilioSide
from tests.telephony.virtual import virtually

pytestmark = pytest.mark.portable

LEAD_SECONDS = 0.2
SPEECH = np.full(8_000 * 2, 1_000, np.int16)


class Unmarked(TwilioSide):
    """A carrier that has no marks."""

    def dialect(self) -> Dialect:
        class Dialect(Twilio):
            has_marks = False

        return Dialect()

    def read(self, message: str | bytes) -> Command:
        command = super().read(message)
        assert command.kind != "mark"
        return command


class Uncleared(TwilioSide):
    """A carrier that can't be cleared."""

    def dialect(self) -> Dialect:
        class Dialect(Twilio):
            def clear(self) -> Message | None:
                return None

        return Dialect()


async def interrupted(side: TwilioSide, latency: float, after: float) -> tuple[int, int]:
    """How many samples of an utterance that is interrupted are reported, and how many the speaker has played."""
    carrier, reports = Carrier(side, latency), list[int]()

    async def agent(call: PhoneCall) -> None:
        utterance = call.controller.utterance()
        utterance.push(SPEECH)
        await asyncio.sleep(after)
        call.controller.interrupt()
        reports.append((await utterance.wait()).played)

    await answer(carrier, side.dialect(), agent, controller=plain)
    await asyncio.sleep(1.0)
    carrier.finish()
    return reports[0], int(np.count_nonzero(carrier.speech))


@pytest.mark.parametrize("latency", [0.02, 0.1, 0.19])
def test_without_marks_what_was_heard_is_within_the_lead(latency: float) -> None:
    played, heard = virtually(interrupted(Unmarked(), latency, 1.0))
    assert played <= heard
    assert heard - played <= (LEAD_SECONDS + 2 * latency + 0.12) * 8_000


def test_without_marks_an_utterance_completes() -> None:
    async def call() -> tuple[CallEnd, Carrier]:
        side = Unmarked()
        carrier = Carrier(side)

        async def agent(call: PhoneCall) -> None:
            utterance = call.controller.utterance()
            utterance.push(SPEECH)
            utterance.end()
            assert (await utterance.wait()).played == len(SPEECH)
            assert 2.0 < asyncio.get_running_loop().time() < 2.5

        end = await answer(carrier, side.dialect(), agent, controller=plain)
        carrier.finish()
        return end, carrier

    end, carrier = virtually(call())
    assert end.by == "agent"
    assert np.count_nonzero(carrier.speech) == len(SPEECH)


@pytest.mark.parametrize("after", [0.05, 1.0])
def test_without_a_clear_what_was_sent_is_heard(after: float) -> None:
    played, heard = virtually(interrupted(Uncleared(), 0.1, after))
    assert played == heard
    assert heard <= (after + LEAD_SECONDS + 0.02) * 8_000


def test_speech_begins_at_once_after_a_silence() -> None:
    async def call() -> tuple[float, Carrier]:
        carrier, at = Carrier(TwilioSide(), 0.1), list[float]()

        async def agent(call: PhoneCall) -> None:
            for _ in range(3):
                await asyncio.sleep(1.0)
                at.append(asyncio.get_running_loop().time())
                await call.controller.speak([SPEECH[:800]]).wait()

        await answer(carrier, Twilio(), agent, controller=plain)
        carrier.finish()
        first = [piece.at for piece in carrier.played if piece.samples.any()]
        starts = [at for before, at in zip([-1.0, *first[:-1]], first, strict=True) if at - before > 0.5]
        assert len(starts) == 3
        return max(there - here for here, there in zip(at, starts, strict=True)), carrier

    worst, carrier = virtually(call())
    assert worst <= 0.1 + 0.04  # the way, and two frames
    # Silence is not sent: five frames of speech each, and what was sent until its mark had come back.
    assert sum(kind == "media" for _, kind in carrier.sent) <= 3 * (5 + 13)


def test_background_rides_out_a_little_jitter_while_nobody_speaks() -> None:
    async def call() -> Carrier:
        carrier = Carrier(TwilioSide(), 0.05, 0.03, seed=3)

        async def agent(call: PhoneCall) -> None:
            call.controller.background.add(np.full(8_000, 2_000, np.int16), loop=True)
            await asyncio.sleep(3.0)
            call.controller.close()

        await answer(carrier, Twilio(), agent, controller=plain)
        carrier.finish()
        return carrier

    carrier = virtually(call())
    loud = [piece for piece in carrier.played if piece.samples.any()][5:]
    gaps = [after.at - (before.at + len(before.samples) / 8_000) for before, after in pairwise(loud)]
    assert len(loud) > 100
    assert max(gaps) < 0.001
    assert carrier.fullest <= 0.06 + 0.02 + 0.03 + 0.001


def test_a_synthesizer_that_is_late_by_less_than_the_lead_makes_no_gap() -> None:
    async def call() -> tuple[Carrier, int]:
        carrier, underruns = Carrier(TwilioSide()), list[object]()

        async def agent(call: PhoneCall) -> None:
            call.controller.on("underrun", underruns.append)
            utterance = call.controller.utterance()
            for start in range(0, len(SPEECH), 1_600):
                utterance.push(SPEECH[start : start + 1_600])
                await asyncio.sleep(0.19)  # 0.2 s of audio
            await asyncio.sleep(0.1)  # what is sent ahead does not last for longer
            utterance.end()
            await utterance.wait()

        await answer(carrier, Twilio(), agent, controller=plain)
        carrier.finish()
        return carrier, len(underruns)

    carrier, underruns = virtually(call())
    assert underruns == 0
    assert np.count_nonzero(carrier.speech) == len(SPEECH)


@pytest.mark.parametrize("side", sides(), ids=range(len(sides())))
def test_what_the_caller_says_and_presses_reaches_the_agent(side: TwilioSide) -> None:
    voice = (8_000 * np.sin(2 * np.pi * 400 * np.arange(side.rate) / side.rate)).astype(np.int16)
    frame = side.rate // 50

    async def call() -> tuple[list[str], np.ndarray[tuple[int], np.dtype[np.int16]], CallEnd]:
        carrier, keys, heard = Carrier(side), list[str](), list[np.ndarray[tuple[int], np.dtype[np.int16]]]()

        async def speak() -> None:
            for start in range(0, len(voice), frame):
                carrier.say(side.media(side.encode(voice[start : start + frame])))
                await asyncio.sleep(0.02)
            for key in "1*#":
                carrier.say(side.dtmf(key))
            await asyncio.sleep(0.5)
            carrier.say(side.stop())

        async def agent(call: PhoneCall) -> None:
            async def hear() -> None:
                async for samples in call.incoming.samples(side.rate):
                    heard.append(samples)

            hearing = asyncio.create_task(hear())
            async for key in call.dtmf:
                keys.append(key)
            await hearing

        speaking = asyncio.create_task(speak())
        end = await answer(carrier, side.dialect(), agent)
        await speaking
        carrier.finish()
        return keys, np.concatenate(heard), end

    keys, heard, end = virtually(call())
    assert keys == ["1", "*", "#"]
    assert end.by == "caller"
    assert len(heard) == len(voice)
    # G.711 has 13 bits: its steps are at most a 32nd of the sample.
    assert np.abs(heard.astype(int) - voice).max() <= (0 if side.encoding == "s16le" else 260)


def test_audio_and_keys_that_nobody_takes_do_not_grow() -> None:
    from playback.telephony.incoming import CallerTrack, Keys

    async def hold() -> None:
        track, keys = CallerTrack(AudioFormat(8_000, encoding="mulaw")), Keys()
        for number in range(1_000):
            track.put(bytes(160))
            keys.put(str(number % 10))
        assert (track.dropped, keys.dropped) == (950, 936)
        assert (await track.recv()).samples == 160
        keys.end()
        assert len([key async for key in keys]) == 64
        track.stop()

    virtually(hold())


def test_silence_within_speech_lasts_as_long_as_it_was_pushed() -> None:
    pushed = np.concatenate([SPEECH[:1_600], np.zeros(4_000, np.int16), SPEECH[:1_600]])

    async def call() -> Carrier:
        carrier = Carrier(TwilioSide())

        async def agent(call: PhoneCall) -> None:
            await call.controller.speak([pushed]).wait()

        await answer(carrier, Twilio(), agent, controller=plain)
        carrier.finish()
        return carrier

    carrier = virtually(call())
    loud = np.flatnonzero(carrier.speech)
    assert loud[-1] - loud[0] == len(pushed) - 1
    at = np.concatenate([each.at + np.arange(len(each.samples)) / 8_000 for each in carrier.played])[loud]
    assert at[-1] - at[0] == pytest.approx((len(pushed) - 1) / 8_000, abs=0.001)


def test_a_frame_whose_first_sample_is_interrupted_is_not_sent() -> None:
    async def call() -> tuple[Carrier, list[int]]:
        carrier, played = Carrier(TwilioSide()), list[int]()

        async def agent(call: PhoneCall) -> None:
            call.controller.once("first_audio_byte", lambda _: call.controller.interrupt())
            for _ in range(2):
                utterance = call.controller.utterance()
                utterance.push(SPEECH)
                utterance.end()
                played.append((await utterance.wait()).played)

        end = await answer(carrier, Twilio(), agent, controller=plain)
        assert end.by == "agent"
        carrier.finish()
        return carrier, played

    carrier, played = virtually(call())
    assert played == [0, len(SPEECH)]
    assert carrier.sent[0][1] == "clear"
    assert np.count_nonzero(carrier.speech) == len(SPEECH)
