"""Decoding in a process of its own: the same audio, within limits, and nothing of it is left."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from playback import AudioFormat, FormatError, PlaybackController, _child
from playback.audio.formats import Block, Layout
from playback.audio.media import messages, untrusted
from playback.audio.media.blocks import Damage
from playback.audio.media.decoding import decode
from playback.audio.media.streams import StreamDecoder
from playback.audio.media.untrusted import MEMORY_BYTES, UntrustedDecoder
from playback.background.mixer import Background
from tests.audio.hostile import bombs, mutations
from tests.audio.media import CASES, encode, made, sound

FORMAT = AudioFormat(24_000)
LONG = encode(sound(24_000, samples=40 * 24_000), CASES["flac"])


def until(condition: Callable[[], bool], what: Callable[[], object] = lambda: "it takes too long") -> None:
    """Wait for another thread or process, for 30 s at most."""
    for _ in range(6_000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError(what())


def children() -> list[psutil.Process]:
    """The processes that decode, and not that of an aligner."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "playback.align.child" not in child.cmdline()
    ]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    descriptors, before = len(os.listdir("/proc/self/fd")), psutil.Process().children()  # of an aligner of other tests
    yield
    gc.collect()
    until(
        lambda: not set(psutil.Process().children()) - set(before),
        lambda: [(c.pid, c.status(), c.cmdline()[:3]) for c in psutil.Process().children()],
    )
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith(("decoding ", "feeding "))])
    until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)


def plain(blocks: Any) -> list[tuple[Layout, int, bytes]]:
    return [(block.layout, block.samples, bytes(block.read())) for block in blocks]


@pytest.mark.parametrize("name", CASES)
def test_the_audio_is_the_same(name: str, tmp_path: Path) -> None:
    data = made(name)
    path = tmp_path / "file"
    path.write_bytes(data)
    expected = plain(decode(data))
    assert plain(UntrustedDecoder(path)) == expected
    assert plain(UntrustedDecoder(io.BytesIO(data))) == expected


def test_damage_is_counted_and_errors_are_the_same() -> None:
    for name, data in mutations(10, seed=5):
        results = []
        for function in (decode, UntrustedDecoder):
            damage = Damage()
            try:
                blocks, error = plain(function(data, damage=damage)), ""
            except FormatError as raised:
                blocks, error = [], str(raised)
            results.append((blocks, error, damage.count, str(damage.rest)[:200]))
        assert results[0] == results[1], name


@pytest.mark.parametrize("name", bombs())
def test_bombs_stay_within_the_limits(name: str) -> None:
    decoder = UntrustedDecoder(bombs()[name])
    highest = seconds = count = 0.0
    try:
        for block in decoder:
            seconds += block.samples / block.layout.sample_rate
            count += 1
            if not count % 50 and (found := children()):
                highest = max(highest, found[0].memory_info().rss)
            if seconds > 100:  # it goes on: whoever wants no more closes it
                break
    except FormatError:
        pass
    finally:
        decoder.close()
    assert highest < MEMORY_BYTES + 80 * 2**20


def test_a_table_that_is_too_long_takes_no_memory() -> None:
    # In a process of its own: until it runs its own program, a process counts the memory of the one that started it.
    program = """
import resource
from playback.audio.formats import FormatError
from playback.audio.media.untrusted import UntrustedDecoder
from tests.audio.hostile import bombs
for name in ("m4a of 80 million samples", "m4a of 80 million samples, 8 tracks"):
    try:
        list(UntrustedDecoder(bombs()[name]))
    except FormatError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    *errors, peak = done.stdout.splitlines()
    assert len(errors) == 2
    assert all("MP4 without a sample" in error for error in errors)
    assert int(peak) * 1024 < MEMORY_BYTES + 80 * 2**20


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted, "CPU_SECONDS", 1)
    # Garbage in which a frame may begin anywhere keeps a search busy for long.
    data = made("adts") + b"\xff\xf1\x4c\x80\x20\x1f\xfc" * 2**21
    with pytest.raises(FormatError, match="takes more CPU time than 1 s and its own length"):
        list(UntrustedDecoder(data))


def test_a_decoder_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(_child, "_PROGRAM", "import time; time.sleep(60)")
    with pytest.raises(FormatError, match=r"it took 0\.2 s to its next block, expected less"):
        list(UntrustedDecoder(made("wav")))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os; os.abort()", "its decoder ended with SIGABRT"),
        ("raise SystemExit(3)", "its decoder ended with exit code 3"),
        ("import os; os.write(1, b'X' + bytes(4))", "its decoder sent a message of kind b'X'"),
        ("import os; os.write(1, b'B' + b'\\xff' * 4)", "its decoder sent a message of 4294967295 bytes"),
        ("import os; os.write(1, b'B\\1\\0\\0\\0x')", "its decoder sent a block that can't be read"),
        ("import os; os.write(1, b'D\\1\\0\\0\\0x')", "its decoder sent a count in 1 bytes"),
    ],
)
def test_a_decoder_that_was_taken_over_is_not_believed(
    program: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_child, "_PROGRAM", program)
    with pytest.raises(FormatError, match=f"the audio can't be decoded: {message}"):
        list(UntrustedDecoder(made("wav")))


def test_blocks_are_checked() -> None:
    block = Block(Layout(8_000, "stereo", "s16", 4), bytes(400), 100)
    read = io.BytesIO(messages.pack_block(block)).read
    message = messages.read_message(read)
    assert message is not None
    assert plain([messages.unpack_block(message[1])]) == plain([block])
    for wrong in (
        block._replace(samples=101),
        block._replace(samples=0, data=b""),
        block._replace(layout=block.layout._replace(sample_rate=1)),
        block._replace(layout=block.layout._replace(sample_type="s16p")),
        block._replace(layout=block.layout._replace(channels="nowhere")),
    ):
        with pytest.raises(FormatError):
            messages.unpack_block(messages.pack_block(wrong)[5:])


def test_the_process_can_open_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    program = f"""
import sys
sys.path[:] = sys.argv[5:]
import os, socket
from playback.audio.media import confined
confined._confine(2**26)
for attempt in (lambda: open({str(tmp_path / "secret")!r}), socket.socket, os.fork, os.pipe):
    try:
        attempt()
        os.abort()
    except OSError as error:
        pass
assert not set(os.environ) - set({untrusted._ENVIRONMENT!r}) - {{"OPENBLAS_NUM_THREADS", "LC_CTYPE"}}
try:
    bytearray(2**27)
except MemoryError:
    os._exit(7)
"""
    if os.geteuid() == 0:  # root may start as many processes as it likes
        program = program.replace("os.fork, ", "")
    monkeypatch.setenv("API_KEY", "secret")
    monkeypatch.setattr(_child, "_PROGRAM", program)
    with pytest.raises(FormatError, match="ended with exit code 7"):
        list(UntrustedDecoder(b""))


def test_errors_of_the_source_are_raised() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if data := super().read(size):
                return data
            raise ConnectionResetError("the peer is gone")

    with pytest.raises(ConnectionResetError):
        list(UntrustedDecoder(Broken(made("wav"))))
    with pytest.raises(FileNotFoundError):
        list(UntrustedDecoder("/no/such/file.wav"))
    with pytest.raises(TypeError, match="gave a str, expected bytes"):
        list(UntrustedDecoder(io.StringIO("RIFF")))  # type: ignore[arg-type]


# Ending


def test_a_file_that_has_nothing_yet_is_not_at_its_end() -> None:
    pieces: list[Any] = [LONG[:10_000], None]
    with pytest.raises(TypeError, match="gave a NoneType"):
        list(UntrustedDecoder(lambda _: pieces.pop(0)))


def test_killing_ends_the_process_while_somebody_waits_for_it() -> None:
    reading, writing = os.pipe()
    os.write(writing, made("mp3")[:3_000])
    blocks: list[Block] = []
    with open(reading, "rb", buffering=0) as file:
        decoder = UntrustedDecoder(file.read)
        thread = threading.Thread(target=lambda: blocks.extend(decoder))
        thread.start()
        until(lambda: len(blocks) > 2)
        decoder.kill()
        thread.join(10)
        assert not thread.is_alive()
        until(lambda: not children())
        os.close(writing)


def test_one_that_is_dropped_ends() -> None:
    decoder = UntrustedDecoder(LONG)
    next(decoder)
    assert children()
    del decoder
    until(lambda: not children())


def test_one_that_was_killed_before_it_began_never_begins() -> None:
    decoder = UntrustedDecoder(LONG)
    decoder.kill()
    assert list(decoder) == []


def test_a_sound_that_stops_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    path.write_bytes(LONG)
    background = Background(FORMAT)
    for stops in (True, False):
        voice = background.add(path, untrusted=True)
        until(lambda: bool(children()))
        if stops:
            voice.stop(0)
        else:
            background.close()
        until(lambda: not children())


def test_a_loop_of_a_short_untrusted_file_takes_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from playback.background import sources
    from tests.background.test_sources import listen

    started: list[int] = []
    real = untrusted._Process

    def noted(*arguments: Any) -> Any:
        started.append(1)
        return real(*arguments)

    monkeypatch.setattr(untrusted, "_Process", noted)
    source = sources.FileSource(FORMAT, io.BytesIO(made("flac")), loop=True, untrusted=True)
    assert len(listen(source, 100_000)) == 100_000
    source.close()
    assert started == [1]


async def test_an_interrupt_ends_it() -> None:
    import asyncio

    async def stream() -> Any:
        for at in range(0, len(LONG), 20_000):
            yield LONG[at : at + 20_000]

    for source in (io.BytesIO(LONG), stream()):
        controller = PlaybackController(FORMAT, high_water_seconds=2)
        spoken = controller.speak(source, untrusted=True)
        for _ in range(2_000):
            if controller.read(480).any():
                break
            await asyncio.sleep(0.005)
        assert children()
        controller.interrupt()
        report = await spoken.wait()
        assert report.outcome.value == "interrupted"
        for _ in range(1_000):
            if not children():
                break
            await asyncio.sleep(0.005)
        assert not children()
        controller.close()


def test_closing_a_paused_stream_decoder_wakes_both_of_its_threads() -> None:
    blocks: list[Block] = []

    def pause(block: Block) -> None:
        blocks.append(block)
        decoder.pause()

    decoder = StreamDecoder(pause, lambda _: None, untrusted=True)
    decoder.feed(made("wav"))  # one thread waits for more of it, the other for the end of the pause
    until(lambda: bool(blocks))
    time.sleep(0.1)
    decoder.close()


def test_a_stream_decoder_that_is_closed_ends_it() -> None:
    blocks: list[Block] = []
    decoder = StreamDecoder(blocks.append, lambda _: None, untrusted=True)
    decoder.feed(LONG[:200_000])
    until(lambda: bool(blocks))
    assert children()
    decoder.close()
    until(lambda: not children())


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_it_ends_with_the_process_that_wanted_it(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    path.write_bytes(LONG * 5)
    program = f"""
import os, psutil, signal
from playback.audio.media.untrusted import UntrustedDecoder
decoder = UntrustedDecoder({str(path)!r})
next(decoder)
print(psutil.Process().children()[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60).stdout
    until(lambda: not psutil.pid_exists(int(out)))


def test_a_producer_on_another_thread_may_have_it_too() -> None:
    import asyncio

    async def main() -> int:
        controller = PlaybackController(FORMAT)
        producer = controller.threadsafe(asyncio.get_running_loop())
        await asyncio.to_thread(producer.speak, made("flac"), untrusted=True)
        accepted = controller.buffered
        controller.close()
        return accepted

    assert asyncio.run(main()) == 24_001
