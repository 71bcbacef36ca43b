"""The process in which an aligner works: what becomes of it, whatever happens, and what is left of it."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest

from playback import AudioFormat, PlaybackController
from playback.events import ErrorRaised
from playback.words import Word
from tests.needs import need_module
from tests.speaking.playing import until

need_module("pocketsphinx", "the extra align", for_module=True)
need_module("num2words", "the extra align", for_module=True)

from playback.align import PocketsphinxAligner, child, process  # noqa: E402 - it needs what was checked above

FORMAT = AudioFormat(16_000)
TEXT = "Hello there, how are you?"
NOISE = np.random.default_rng(0).normal(0, 3_000, 16_000).astype(np.int16).tobytes()

pytestmark = [
    pytest.mark.portable,
    pytest.mark.skipif(sys.platform != "linux", reason="it stops processes, and looks into /proc"),
]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gc.collect()
    before, descriptors = {one.pid for one in psutil.Process().children()}, len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert {one.pid for one in psutil.Process().children()} <= before
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def pid_of(aligner: PocketsphinxAligner) -> int:
    pid = aligner._process.pid
    assert pid is not None
    return pid


def in_a_thread(aligner: PocketsphinxAligner, audio: bytes = NOISE) -> tuple[threading.Thread, list[Any]]:
    """Align in a thread; what comes of it is added to a list."""
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(aligner.align(TEXT, audio, FORMAT))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, found


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it takes too long")


def test_calls_go_first_and_their_process_does_next_to_nothing() -> None:
    aligner = PocketsphinxAligner()
    aligner.align(TEXT, NOISE, FORMAT)
    worker = psutil.Process(pid_of(aligner))
    assert worker.nice() == min(19, psutil.Process().nice() + 10)
    # Linux compares how nice processes are within a session alone; and Ctrl+C goes to a whole group.
    assert os.getsid(worker.pid) == os.getsid(0)
    assert os.getpgid(worker.pid) == worker.pid
    before, own = sum(worker.cpu_times()[:2]), time.process_time()
    for _ in range(20):
        aligner.align(TEXT, NOISE * 4, FORMAT)
    assert time.process_time() - own < (sum(worker.cpu_times()[:2]) - before) / 4
    assert pid_of(aligner) == worker.pid


def test_one_that_was_killed_is_started_again() -> None:
    aligner = PocketsphinxAligner()
    words = aligner.align(TEXT, NOISE, FORMAT)
    first = pid_of(aligner)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: psutil.Process(first).status() == psutil.STATUS_ZOMBIE)
    assert aligner.align(TEXT, NOISE, FORMAT) == words
    assert pid_of(aligner) != first


@pytest.mark.parametrize("audio", [NOISE, NOISE * 200], ids=["read at once", "more than fits into a pipe"])
def test_one_that_is_killed_in_the_middle_is_an_error_of_that_alignment_alone(audio: bytes) -> None:
    aligner = PocketsphinxAligner()
    words = aligner.align(TEXT, NOISE, FORMAT)
    first = pid_of(aligner)
    os.kill(first, signal.SIGSTOP)
    thread, found = in_a_thread(aligner, audio)
    behind, then = in_a_thread(aligner)
    os.kill(first, signal.SIGKILL)
    thread.join(60)
    behind.join(60)
    results = [*found, *then]
    errors = [one for one in results if isinstance(one, RuntimeError)]
    assert len(errors) <= 1  # either has come first, and it may have come after the end
    assert all("the process that aligns ended with SIGKILL" in str(error) for error in errors)
    assert aligner.align(TEXT, NOISE, FORMAT) == words


def test_one_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    aligner = PocketsphinxAligner()
    words = aligner.align(TEXT, NOISE, FORMAT)
    with monkeypatch.context() as patch:
        patch.setattr(process, "_ANSWER_SECONDS", -0.8)
        os.kill(pid_of(aligner), signal.SIGSTOP)
        with pytest.raises(RuntimeError, match=r"the process that aligns took 0\.2 s, expected less"):
            aligner.align(TEXT, NOISE, FORMAT)
    assert aligner.align(TEXT, NOISE, FORMAT) == words


async def test_a_crash_is_an_event_of_the_call_and_what_was_heard_is_estimated() -> None:
    aligner = PocketsphinxAligner()
    first = pid_of(aligner)
    os.kill(first, signal.SIGSTOP)
    controller = PlaybackController(FORMAT, word_timing=aligner, late_words_seconds=60.0)
    errors: list[ErrorRaised] = []
    controller.on("error", errors.append)
    utterance = controller.utterance(text=TEXT)
    utterance.push(NOISE * 4)
    controller.read(32_000)
    controller.interrupt()
    waiting = asyncio.create_task(utterance.wait())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    os.kill(first, signal.SIGKILL)
    report = await waiting
    await until(lambda: bool(errors))
    assert (report.heard_from, errors[0].source) == ("estimate", "the aligner")
    assert "SIGKILL" in str(errors[0].exception)
    assert TEXT.startswith(report.heard or "nothing")


PROGRAM = """
import os, signal, sys, time
import numpy as np
from playback import AudioFormat
from playback.align import PocketsphinxAligner
aligner = PocketsphinxAligner()
def align():
    noise = np.random.default_rng(0).normal(0, 3_000, 16_000).astype(np.int16).tobytes()
    return aligner.align("Hello there, how are you?", noise, AudioFormat(16_000))
words = align()
pid = aligner._process.pid
"""


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM + program], stdout=subprocess.PIPE, check=False, timeout=120
    )
    return done.stdout.decode()


@pytest.mark.parametrize(
    "end",
    ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(0)", "sys.exit()", "raise KeyError", "os.abort()"],
)
def test_it_ends_with_the_process_that_has_the_aligner(end: str) -> None:
    out = run(f"print(pid, flush=True)\n{end}")
    wait_for(lambda: not psutil.pid_exists(int(out)))


def test_a_fork_that_lives_on_does_not_keep_it() -> None:
    out = run("""
fork = os.fork()
if not fork:
    os.close(1)
    time.sleep(60)
    os._exit(0)
print(pid, fork, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""")
    worker, fork = map(int, out.split())
    wait_for(lambda: not psutil.pid_exists(worker))
    os.kill(fork, signal.SIGKILL)


def test_a_fork_has_a_process_of_its_own_and_leaves_that_of_its_parent_alone() -> None:
    out = run("""
fork = os.fork()
if not fork:
    assert aligner._process.pid is None
    assert align() == words
    assert aligner._process.pid != pid
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 7
assert align() == words
assert aligner._process.pid == pid
print("ok")
""")
    assert out == "ok\n"


class Broken:
    """A finder that fails."""

    def find(self, *_: Any) -> list[Word]:
        raise ValueError("\ud800 is no text")


class Fixed:
    """A finder that finds the text."""

    def find(self, text: str, samples: Any) -> list[Word]:
        return [Word(text, len(samples) / 3, None)]


def request(text: str, samples: bytes) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return child.REQUEST.pack(len(data), len(samples)) + data + samples


def test_requests_are_answered_one_after_the_other() -> None:
    requests = io.BytesIO(request("\ud800 \x00 hi", bytes(4)) + request("", b""))
    answers = io.BytesIO()
    finder: Any = Fixed()
    assert child.serve(finder, requests, answers)
    assert child.serve(finder, requests, answers)
    assert not child.serve(finder, requests, answers)
    answers.seek(0)
    for words in ([["\ud800 \x00 hi", 2 / 3, None]], [["", 0.0, None]]):
        (size,) = child.ANSWER.unpack(answers.read(child.ANSWER.size))
        assert json.loads(answers.read(size)) == words


def test_what_is_raised_is_the_answer_and_a_request_that_breaks_off_is_the_end() -> None:
    whole, answers = request("hi", bytes(4)), io.BytesIO()
    broken: Any = Broken()
    for size in range(len(whole)):
        assert not child.serve(broken, io.BytesIO(whole[:size]), answers)
    assert answers.getvalue() == b""
    assert child.serve(broken, io.BytesIO(whole), answers)
    assert json.loads(answers.getvalue()[child.ANSWER.size :]) == "ValueError: \ud800 is no text"


def test_an_error_of_the_finder_is_raised_and_the_process_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    aligner = PocketsphinxAligner()
    words = aligner.align(TEXT, NOISE, FORMAT)
    with monkeypatch.context() as patch:
        answer = io.BytesIO(b'\x04\0\0\0"no"')
        patch.setattr(process._Child, "_read", lambda _, size: answer.read(size))
        with pytest.raises(RuntimeError, match="the process that aligns raised no"):
            aligner.align(TEXT, NOISE, FORMAT)
    assert aligner.align(TEXT, NOISE, FORMAT) == words
