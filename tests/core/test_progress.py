"""A reader that goes on lets every write return, whatever the rates, the limits and the chunks are, whoever writes."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat, BufferFull, PlaybackController, Utterance
from playback.audio.converter import converted_samples
from tests.fuzzing import thorough
from tests.signals import CUTS
from tests.speaking.playing import turns, until

ROUNDS: Final = 4_000
"""Reads after which a write that has not returned is taken to hang: far more than what is written lasts."""


async def play(controller: PlaybackController, work: asyncio.Future[Any], samples: int) -> None:
    """Read until the work is done, as a transport does, which never stops."""
    for _ in range(ROUNDS):
        if work.done():
            break
        controller.read(samples)
        await turns(4)
    hangs = not work.done()
    work.cancel()
    assert not hangs, f"{controller.leaf} with {controller.buffered} samples buffered"


async def write_all(utterance: Utterance, chunks: list[int], width: int) -> list[int]:
    """What each write took; one that can't be is left out."""
    taken = []
    for samples in chunks:
        try:
            taken.append(await utterance.write(b"\1" * (samples * width)))
        except BufferFull:
            taken.append(-1)
    utterance.end()
    await utterance.wait()
    return taken


def case(
    *,
    rates: tuple[int, int] = (48_000, 48_000),
    chunks: list[list[int]],
    prebuffer: float = 0.0,
    high_water: float = 0.02,
    maximum: float = 2.0,
    read: float = 0.02,
) -> None:
    """Write chunks of so many samples for each of several handles, all at once, while somebody reads."""
    output = AudioFormat(rates[1])
    controller = PlaybackController(
        output,
        input_format=AudioFormat(rates[0]),
        fades=CUTS,
        prebuffer_seconds=prebuffer,
        high_water_seconds=high_water,
        max_buffered_seconds=maximum,
        input_timeout_seconds=None,
    )

    async def write() -> list[list[int]]:
        handles = [controller.utterance() for _ in chunks]
        for handle in handles:
            handle.enqueue()
        return await asyncio.gather(*(write_all(h, sizes, 2) for h, sizes in zip(handles, chunks, strict=True)))

    async def main() -> None:
        work = asyncio.ensure_future(write())
        await play(controller, work, max(1, output.samples(read)))
        taken = await work
        assert controller.buffered == 0
        for sizes, each in zip(chunks, taken, strict=True):
            if -1 not in each:
                assert sum(each) == converted_samples(sum(sizes), *rates)

    asyncio.run(main())


def test_a_chunk_above_the_maximum_while_the_head_is_below_its_prebuffer() -> None:
    case(chunks=[[14_400, 86_400, 14_400]], prebuffer=0.5, high_water=2.0, maximum=2.0)


def test_input_of_which_a_resampler_holds_a_part_back() -> None:
    case(rates=(24_000, 48_000), chunks=[[490] * 50], high_water=0.02)


seconds = st.sampled_from([0.0, 0.005, 0.02, 0.04, 0.5])
pieces = st.lists(st.one_of(st.sampled_from([0, 1, 160, 490, 960]), st.integers(0, 20_000)), max_size=8)


@pytest.mark.fuzz
@pytest.mark.timeout(1200)
@given(
    rates=st.tuples(
        st.sampled_from([8_000, 16_000, 22_050, 24_000, 44_100, 48_000]), st.sampled_from([8_000, 24_000, 48_000])
    ),
    chunks=st.lists(pieces, min_size=1, max_size=3),
    limits=st.tuples(seconds, seconds, seconds).map(sorted),
    read=st.sampled_from([0.001, 0.01, 0.02, 0.05]),
)
@thorough(60)
def test_whatever_the_limits_are(
    rates: tuple[int, int], chunks: list[list[int]], limits: list[float], read: float
) -> None:
    prebuffer, high_water, maximum = limits
    chunks = [[min(size, rates[0] // 4) for size in sizes] for sizes in chunks]
    case(rates=rates, chunks=chunks, prebuffer=prebuffer, high_water=high_water, maximum=maximum, read=read)


@pytest.mark.parametrize("rates", [(48_000, 48_000), (24_000, 48_000), (44_100, 48_000)])
@pytest.mark.parametrize("sizes", [[490] * 30, [14_400, 86_400, 3], [1] * 5 + [9_600]])
async def test_writes_of_a_thread(rates: tuple[int, int], sizes: list[int]) -> None:
    controller = PlaybackController(
        AudioFormat(rates[1]),
        input_format=AudioFormat(rates[0]),
        fades=CUTS,
        prebuffer_seconds=0.02,
        high_water_seconds=0.02,
        max_buffered_seconds=2.0,
        input_timeout_seconds=None,
    )
    producer = controller.threadsafe(asyncio.get_running_loop())
    handle = producer.utterance()

    def produce() -> int:
        taken = sum(handle.write(np.ones(size, np.int16)) for size in sizes)
        handle.end()
        return taken

    work = asyncio.ensure_future(asyncio.to_thread(produce))
    await until(work.done, lambda: controller.read(960))
    assert await work == converted_samples(sum(sizes), *rates)
