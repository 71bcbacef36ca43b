"""The pump: frames written out at the pace of playback."""

from __future__ import annotations

import asyncio
from asyncio import create_task
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, Outcome, PlaybackController, State
from playback.events import Stalled
from playback.pump import Pump
from playback.track import PlaybackTrack
from tests.signals import CUTS, FRAME, RATE, Heard, ramp

pytestmark = pytest.mark.portable

PTIME = 0.020
ENOUGH_SECONDS = 20.0


class Transport:
    """Where frames are written to; keeps them, and when they came."""

    def __init__(self, at: dict[int, Callable[[], Any]] | None = None) -> None:
        self.frames: list[NDArray[np.int16]] = []
        self.times: list[float] = []
        self.at = at or {}
        """What happens within the write of a frame, by its number."""

    def write(self, frame: NDArray[np.int16]) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.frames.append(frame)
        if action := self.at.get(len(self.frames)):
            action()

    async def write_later(self, frame: NDArray[np.int16]) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.frames.append(frame)
        if action := self.at.get(len(self.frames)):
            await action()

    @property
    def written(self) -> list[int]:
        """All samples."""
        return [int(sample) for frame in self.frames for sample in frame.reshape(-1)]


def heard() -> Heard:
    return Heard(PlaybackController(AudioFormat(RATE), fades=CUTS))


async def run(pump: Pump) -> None:
    await asyncio.wait_for(pump.run(), ENOUGH_SECONDS)


@pytest.mark.parametrize("writer", ["write", "write_later"])
async def test_everything_is_written_in_order_until_the_close(writer: str) -> None:
    async def close() -> None:
        h.controller.close()

    h = heard()
    transport = Transport({12: h.controller.close if writer == "write" else close})
    h.controller.push(ramp(10 * FRAME - 100))
    h.controller.end()
    await run(Pump(h.controller, getattr(transport, writer)))
    assert transport.written == [*range(1, 10 * FRAME - 99), *[0] * (100 + 2 * FRAME)]
    assert {(frame.shape, frame.dtype) for frame in transport.frames} == {((FRAME, 1), np.dtype(np.int16))}
    assert h.emitted("last_audio_byte", "closed") == ["last_audio_byte", "closed"]


@pytest.mark.parametrize(("lead", "ahead"), [(0.0, 0.020), (0.020, 0.020), (0.030, 0.030), (0.040, 0.040)])
async def test_no_more_than_the_lead_is_ever_ahead(lead: float, ahead: float) -> None:
    controller = PlaybackController(AudioFormat(48_000, 2))
    transport = Transport({30: controller.close})
    begin = asyncio.get_running_loop().time()
    await run(Pump(controller, transport.write, lead_seconds=lead))
    leads = [number * PTIME - (time - begin) for number, time in enumerate(transport.times, start=1)]
    assert max(leads) <= ahead + 0.001  # a busy machine only makes them smaller
    assert transport.frames[0].shape == (960, 2)


async def test_the_default_lead_puts_two_frames_out_at_once() -> None:
    controller = PlaybackController()
    leads = []
    for _ in range(5):  # once is enough, on a machine that is not too busy
        transport = Transport()
        pump = Pump(controller, transport.write)
        transport.at[2] = pump.stop
        begin = asyncio.get_running_loop().time()
        await run(pump)
        leads.append(2 * PTIME - (transport.times[1] - begin))
    assert max(leads) > 0.021


async def test_frames_may_be_shorter() -> None:
    controller = PlaybackController()
    transport = Transport({5: controller.close})
    await run(Pump(controller, transport.write, frame_seconds=0.010))
    assert [frame.shape for frame in transport.frames] == [(480, 1)] * 5


async def test_a_writer_that_blocks_for_long_leads_to_a_skip_and_no_burst() -> None:
    async def block() -> None:
        await asyncio.sleep(0.5)
        resumed.append(clock())

    async def close() -> None:
        h.controller.close()

    h = heard()
    clock = asyncio.get_running_loop().time
    resumed: list[float] = []
    transport = Transport({5: block, 25: close})
    h.controller.push(ramp(25 * FRAME))
    await run(Pump(h.controller, transport.write_later))

    stalls = [event.seconds for event in h.events if isinstance(event, Stalled)]
    blocked = resumed[0] - transport.times[4]
    assert [seconds for seconds in stalls if seconds > 0.3] == [pytest.approx(blocked, abs=0.15)]
    after = transport.times[5:]
    leads = [number * PTIME - (time - resumed[0]) for number, time in enumerate(after, start=1)]
    assert max(leads) <= 0.041
    assert transport.written == list(range(1, 25 * FRAME + 1))  # no audio is skipped


async def test_what_a_writer_returns_is_waited_for_only_if_that_can_be() -> None:
    sent = bytearray()

    def send(frame: NDArray[np.int16]) -> int:
        sent.extend(frame.tobytes())
        return frame.nbytes

    controller = PlaybackController()
    write: Any = send
    pump = Pump(controller, write)
    asyncio.get_running_loop().call_later(0.1, pump.stop)
    await run(pump)
    assert len(sent) >= 2 * 960


async def test_slow_writers_do_not_slow_the_pace_down() -> None:
    async def write(frame: NDArray[np.int16]) -> None:
        await asyncio.sleep(0.010)
        if controller.position >= 25 * 960:
            controller.close()

    controller = PlaybackController()
    begin = asyncio.get_running_loop().time()
    await run(Pump(controller, write))
    seconds = asyncio.get_running_loop().time() - begin
    assert seconds - controller.stats.stalled_seconds < 25 * (PTIME + 0.010)


def broken(frame: NDArray[np.int16]) -> None:
    raise ConnectionError("gone")


async def broken_later(frame: NDArray[np.int16]) -> None:
    await asyncio.sleep(0)
    raise ConnectionError("gone")


@pytest.mark.parametrize("write", [broken, broken_later])
async def test_a_writer_that_raises_closes_the_controller_so_that_nobody_waits(
    write: Callable[[NDArray[np.int16]], Awaitable[None] | None],
) -> None:
    h = heard()
    utterance = h.controller.utterance()
    utterance.push(ramp(2 * FRAME))
    waiting = create_task(utterance.wait())
    with pytest.raises(ConnectionError, match="gone"):
        await run(Pump(h.controller, write))
    assert h.controller.leaf == "closed"
    assert h.controller.reader is None
    assert (await asyncio.wait_for(waiting, ENOUGH_SECONDS)).outcome is Outcome.CLOSED


async def test_so_does_one_that_is_cancelled_by_its_own_transport() -> None:
    async def write(_: NDArray[np.int16]) -> None:
        sending = asyncio.get_running_loop().create_future()
        sending.cancel()
        await sending

    controller = PlaybackController()
    utterance = controller.utterance()
    utterance.push(ramp(2 * FRAME))
    waiting = create_task(utterance.wait())
    pumping = create_task(Pump(controller, write).run())
    assert (await asyncio.wait_for(waiting, ENOUGH_SECONDS)).outcome is Outcome.CLOSED
    with pytest.raises(asyncio.CancelledError):
        await pumping


@pytest.mark.parametrize("how", ["raises", "raises later"])
async def test_so_does_a_transport_that_never_gets_ready(how: str) -> None:
    async def later() -> None:
        await asyncio.sleep(0)
        raise ConnectionError("gone")

    def now() -> None:
        raise ConnectionError("gone")

    controller = PlaybackController()
    with pytest.raises(ConnectionError, match="gone"):
        await run(Pump(controller, Transport().write, ready=now if how == "raises" else later))
    assert controller.leaf == "closed"


@pytest.mark.parametrize("write", [broken, broken_later])
async def test_without_that_another_reader_goes_on_after_a_writer_has_raised(
    write: Callable[[NDArray[np.int16]], Awaitable[None] | None],
) -> None:
    h = heard()
    h.controller.push(ramp(2 * FRAME))
    pump = Pump(h.controller, write, close_controller=False)
    with pytest.raises(ConnectionError, match="gone"):
        await run(pump)
    assert h.controller.state is State.SPEAKING
    track = PlaybackTrack(h.controller)
    assert (await track.recv()).to_ndarray()[0].tolist() == list(range(FRAME + 1, 2 * FRAME + 1))
    track.stop()


async def test_what_has_ended_does_not_read_beside_another_reader() -> None:
    h = heard()
    pump = Pump(h.controller, broken, close_controller=False)
    with pytest.raises(ConnectionError):
        await run(pump)
    track = PlaybackTrack(h.controller)
    await track.recv()
    position = h.controller.position
    with pytest.raises(RuntimeError, match="one reader"):
        await run(pump)
    assert h.controller.position == position
    track.stop()


async def test_a_pump_claims_its_controller_while_it_runs() -> None:
    controller = PlaybackController()
    pumps = [Pump(controller, Transport().write) for _ in range(2)]
    task = create_task(pumps[0].run())
    await asyncio.sleep(0)
    assert controller.reader is pumps[0]
    with pytest.raises(RuntimeError, match="one reader"):
        await run(pumps[1])
    pumps[0].stop()
    await task
    assert controller.reader is None


async def test_stop_leaves_the_controller_open_for_another_reader() -> None:
    h = heard()
    utterance = h.controller.utterance()
    utterance.push(ramp(8 * FRAME))
    utterance.end()
    written: list[int] = []
    for _ in range(2):
        transport = Transport()
        pump = Pump(h.controller, transport.write)
        transport.at[4] = pump.stop
        await run(pump)
        written += transport.written
    assert written == list(range(1, 8 * FRAME + 1))
    assert (await utterance.wait()).outcome is Outcome.COMPLETED
    assert h.controller.state is State.IDLE


@pytest.mark.parametrize("end", ["stop", "close"])
async def test_ended_while_it_waits_for_the_next_frame_it_writes_no_more(end: str) -> None:
    controller = PlaybackController()
    third = asyncio.Event()
    transport = Transport({3: third.set})
    pump = Pump(controller, transport.write)
    task = create_task(run(pump))
    await third.wait()
    frames = len(transport.frames)
    pump.stop() if end == "stop" else controller.close()
    await task
    assert len(transport.frames) == frames


@pytest.mark.parametrize("end", ["stop", "close"])
async def test_ended_while_its_transport_is_not_ready_it_waits_no_more(end: str) -> None:
    controller = PlaybackController()
    transport = Transport()
    asked, left = asyncio.Event(), asyncio.Event()

    async def ready() -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    pump = Pump(controller, transport.write, ready=ready)
    task = create_task(run(pump))
    await asked.wait()
    pump.stop() if end == "stop" else controller.close()
    await task
    await asyncio.wait_for(left.wait(), ENOUGH_SECONDS)
    assert controller.reader is None
    assert not transport.frames


async def test_stopped_or_closed_before_it_runs_it_writes_nothing() -> None:
    transport = Transport()
    controller = PlaybackController()
    pump = Pump(controller, transport.write)
    pump.stop()
    await run(pump)
    pump = Pump(controller, transport.write)
    controller.close()
    await run(pump)
    assert not transport.frames


async def test_cancelled_it_lets_go() -> None:
    controller = PlaybackController()
    third = asyncio.Event()
    task = create_task(Pump(controller, Transport({3: third.set}).write).run())
    await third.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert controller.state is State.IDLE
    Pump(controller, Transport().write)


@pytest.mark.parametrize("lead", [-0.001, 0.041, float("nan")])
def test_a_lead_out_of_range_is_reported_and_claims_nothing(lead: float) -> None:
    controller = PlaybackController()
    with pytest.raises(ValueError, match="expected 0 to"):
        Pump(controller, Transport().write, lead_seconds=lead)
    controller.attach(object())


@pytest.mark.parametrize(
    ("rate", "seconds", "message"),
    [
        (11_025, 0.020, "11025 Hz"),
        (48_000, 0.0, "frame_seconds is 0.0"),
        (48_000, -0.02, "frame_seconds is -0.02"),
        (48_000, 0.1, "frame_seconds is 0.1"),
    ],
)
def test_frames_that_cannot_be_are_reported_and_claim_nothing(rate: int, seconds: float, message: str) -> None:
    controller = PlaybackController(AudioFormat(rate))
    with pytest.raises(ValueError, match=message):
        Pump(controller, Transport().write, frame_seconds=seconds)
    controller.attach(object())
