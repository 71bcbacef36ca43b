"""``python -m benchmarks.soak.native [--calls 300] [--seconds 600]``: many native calls through one UDP port.

Half of the calls play prepared audio, the others listen in silence. The far ends are in a second process. It shows each
minute, and at the end, how many packets were sent and came, how late frames were, and how much memory, how many
threads and file descriptors there are; it fails if a call was dropped, or if nothing came.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from typing import Any, Final

import numpy as np
import psutil

from playback import AudioFormat, PlaybackController, PreparedUtterance, tuning
from playback.native import NativePeer

HERE: Final = "127.0.0.1"
PORT: Final = 41_100
RATE: Final = 24_000
TONE_SECONDS: Final = 10


async def far() -> None:
    """Answer each offer of the input, count what comes, and say so when asked."""
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    peers: list[NativePeer] = []
    counts: list[int] = []
    while line := await reader.readline():
        offer = json.loads(line)
        if offer is None:
            print(
                json.dumps({"packets": sum(counts), "up": sum(peer.state == "connected" for peer in peers)}), flush=True
            )
            continue
        peer = NativePeer(PlaybackController(AudioFormat(RATE)), bind_address=HERE, connect_seconds=None)
        peers.append(peer)
        number = len(counts)
        counts.append(0)

        def count(_: bytes, number: int = number) -> None:
            counts[number] += 1

        peer.listen(count)
        print(json.dumps(await peer.answer(offer)), flush=True)
    await asyncio.gather(*(peer.close() for peer in peers))


async def near(calls: int, seconds: float) -> int:
    """Have the calls, and report; returns the exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, "--far", stdin=PIPE, stdout=PIPE, limit=2**20
    )
    assert process.stdin
    assert process.stdout

    async def ask(value: str | None) -> Any:
        process.stdin.write(json.dumps(value).encode() + b"\n")  # type: ignore[union-attr]
        return json.loads(await process.stdout.readline())  # type: ignore[union-attr]

    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(TONE_SECONDS * RATE) / RATE)).astype(np.int16)
    prepared = PreparedUtterance(tone, format=AudioFormat(RATE))
    prepared.encode()
    peers: list[NativePeer] = []
    late: list[float] = []
    for number in range(calls):
        peer = NativePeer(PlaybackController(AudioFormat(RATE)), udp_port=PORT, bind_address=HERE, connect_seconds=60.0)
        if number == 0:
            peer.controller.watch_frames(late.append)
        peers.append(peer)
        peer.accept(await ask(await peer.offer()))
    while any(peer.state != "connected" for peer in peers):  # noqa: ASYNC110 - simple, and once
        await asyncio.sleep(0.1)
    tuning.freeze()
    machine = psutil.Process()
    before, begin, cpu = await ask(None), time.monotonic(), time.process_time()
    while (passed := time.monotonic() - begin) < seconds:
        for peer in peers[::2]:
            if peer.controller.buffered < RATE * TONE_SECONDS:
                peer.controller.speak(prepared)
        if int(passed) % 60 == 0:
            memory = machine.memory_info().rss / 2**20
            counts = f"{machine.num_threads()} threads, {machine.num_fds()} descriptors"
            print(f"{passed:.0f} s: {memory:.1f} MB, {counts}", flush=True)
        await asyncio.sleep(1.0)
    used = time.process_time() - cpu
    passed = time.monotonic() - begin
    for peer in peers:
        peer.controller.interrupt()
    await asyncio.sleep(1.0)
    after = await ask(None)
    sent = sum(peer.packets_sent for peer in peers)
    up = sum(peer.state == "connected" for peer in peers)
    print(
        f"{calls} calls, {passed:.0f} s: {up} and {after['up']} are up;"
        f" {sent:,} packets sent, {after['packets']:,} came;"
        f" {1e6 * used / calls / (passed / 0.02):.0f} µs for each call and 20 ms, {used / passed:.2f} cores;"
        f" p99 of lateness {1000 * float(np.quantile(late, 0.99)):.1f} ms;"
        f" {machine.memory_info().rss / 2**20:.1f} MB"
    )
    await asyncio.gather(*(peer.close() for peer in peers))
    process.stdin.close()
    await process.wait()
    return int(not (up == after["up"] == calls) or after["packets"] == before["packets"])


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak.native")
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--far", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.far:
        asyncio.run(far())
        return 0
    return asyncio.run(near(options.calls, options.seconds))


if __name__ == "__main__":
    sys.exit(main())
