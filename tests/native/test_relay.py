"""Calls through a network that loses, repeats and reorders packets."""

from __future__ import annotations

import re

import numpy as np

from playback import FarEndReported
from tests.native.calls import Heard, free_port, native, say, until
from tests.native.relay import Relay, relayed


async def test_a_bad_network_does_no_harm() -> None:
    relay, port = Relay(lose=0.05, repeat=0.05, reorder=0.05), free_port()
    calling, called = native(expected_loss=0.05), native(udp_port=port)
    reports: list[FarEndReported] = []
    calling.controller.on("far_end_reported", reports.append)
    heard = Heard(called)
    async with relayed(relay, port) as instead:
        offer = re.sub(r"(?m)^a=candidate:.*\n", "", await calling.offer())
        calling.accept((await called.answer(offer)).replace(f" {port} typ host", f" {instead} typ host"))
        await until(lambda: calling.state == called.state == "connected")
        utterance = say(calling.controller, 3.0)
        say(called.controller, 3.0)  # their reports come with their audio
        report = await utterance.wait()
        assert (report.outcome, report.played) == ("completed", 3 * 24_000)
        assert min(relay.counts.values()) > 3
        assert (calling.state, called.state) == ("connected", "connected")
        # What came is what was sent: no packet twice (SRTP sees to that), each in its own order and time.
        numbers = np.array(heard.numbers())
        times = np.array([int.from_bytes(packet[4:8]) for packet in heard.packets])
        assert len(set(numbers)) == len(numbers)
        assert 120 < len(numbers) <= 170
        order = np.argsort((numbers - numbers[0]) % 2**16)
        steps = np.diff(times[order]) % 2**32
        gaps = np.diff(np.sort((numbers - numbers[0]) % 2**16))
        assert set(steps / gaps) <= {960.0, 480.0} | {each for each in steps / gaps if 480 <= each <= 960}
        await calling.close()
        await called.close()
