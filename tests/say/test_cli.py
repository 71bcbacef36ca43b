"""The console script and the session behind it: real speech, real peer connections, files that others can read."""

import asyncio
import re
import signal
import subprocess
import sys
import urllib.request
import wave
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import Outcome
from playback.cli import main
from playback.events import StateChanged
from playback.say.call import Session, parse_cue
from playback.say.recording import RECEIVED_RATE, Recording
from playback.speech import SpeechError
from tests.needs import need_program

TEXT = "Your table is booked for eight."


def perform(*script: tuple[str, str], sample_rate: int = 48_000) -> Recording:
    """Hold a session, and see that it leaves nothing behind."""

    async def run() -> Recording:
        session = Session([parse_cue(*cue) for cue in script], sample_rate=sample_rate, limit_seconds=20)
        recording = await session.run()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return recording

    return asyncio.run(run())


def level(audio: NDArray[np.int16], start: float, stop: float, rate: int = RECEIVED_RATE) -> float:
    """The RMS of a stretch, in seconds; full scale is 32768."""
    piece = audio[round(start * rate) : round(stop * rate)].astype(np.float64)
    return float(np.sqrt((piece**2).mean()))


def envelope(audio: NDArray[np.int16], rate: int) -> NDArray[np.float64]:
    """The loudness of each 10 ms."""
    step = rate // 100
    pieces = audio[: len(audio) // step * step].reshape(-1, step).astype(np.float64)
    loudness: NDArray[np.float64] = np.sqrt((pieces**2).mean(axis=1))
    return loudness


def read_wav(path: Path) -> NDArray[np.int16]:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def read_svg(path: Path) -> str:
    text = path.read_text()
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    return text


@pytest.mark.portable
def test_an_interrupted_say_reports_what_was_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound, picture = tmp_path / "say.wav", tmp_path / "say.svg"
    code = main(["say", TEXT, "--at", "0.95", "interrupt", "--out", str(sound), "--plot", str(picture)])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    # Speech begins as soon as a thread has made it, so which word the interrupt hits varies a little.
    report = next(line for line in out.splitlines() if "utterance-1 │ interrupted" in line)
    assert re.search(r"Your table( is( booked)?)?\|", report)
    assert "interrupted.fading" in out
    assert str(sound) in out.replace("\n", "")

    audio = read_wav(sound)
    assert level(audio, 0.2, 0.95) > 300
    assert level(audio, len(audio) / 48_000 - 0.15, len(audio) / 48_000) < 30
    drawn = read_svg(picture)
    for label in ("first audio byte", "interrupt", "silence", "speaking", "Your"):
        assert f"<!-- {label} -->" in drawn
    for label in ("eight", "last audio byte", "pause"):
        assert f"<!-- {label} -->" not in drawn


def test_without_a_text_a_script_shows_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound, picture = tmp_path / "session.wav", tmp_path / "session.svg"
    assert main(["say", "--out", str(sound), "--plot", str(picture)]) == 0
    audio, drawn = read_wav(sound), read_svg(picture)
    assert 8 < len(audio) / 48_000 < 12
    for label in ("pause", "resume", "interrupt", "lock", "unlock", "last audio byte", "input locked", "then"):
        assert f"<!-- {label} -->" in drawn
    assert "<!-- comes -->" not in drawn  # it was refused, and has never sounded
    out = capsys.readouterr().out
    for event in ("paused", "resumed", "interrupted", "input_locked", "turn_started", "last_audio_byte"):
        assert f" {event} " in out
    # The second one comes while the input is locked: nothing is made of it.
    for number, outcome in enumerate(("interrupted", "interrupted", "completed", "completed"), 1):
        assert re.search(rf" turn_finished \W+utterance-{number} {outcome}", out)


@pytest.mark.portable
def test_background_sounds_beneath_and_the_recorder_has_both(tmp_path: Path) -> None:
    music, record = tmp_path / "music.wav", tmp_path / "both.wav"
    with wave.open(str(music), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        hum = 20_000 * np.sin(2 * np.pi * 200 * np.arange(6_000) / 24_000)
        file.writeframes(hum.astype("<i2").tobytes())
    options = ["--background", str(music), "--record", str(record)]
    assert main(["say", TEXT, "--at", "0.9", "pause", "--at", "1.7", "resume", *options]) == 0
    with wave.open(str(record)) as file:
        assert (file.getframerate(), file.getnchannels()) == (48_000, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    speech, mix = both[:, 0], both[:, 1]
    assert level(speech, 1.0, 1.7) == 0, "the pause is silent on the left"
    assert level(mix, 1.4, 1.7) > 500, "the music goes on on the right"
    assert level(speech, 0.1, 0.9) > 1_000


@pytest.mark.portable
def test_a_session_can_be_replayed_from_its_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "say.jsonl"
    cues = ["--at", "0.4", "pause", "--at", "0.6", "resume 0.1", "--at", "0.9", "interrupt lock", "--at", "1", "unlock"]
    assert main(["say", TEXT, *cues, "--trace", str(trace)]) == 0
    assert str(trace) in capsys.readouterr().out.replace("\n", "")
    # It needs none of what speech and pictures need.
    script = "import sys; sys.modules['rich'] = sys.modules['matplotlib'] = sys.modules['espeakng_loader'] = None\n"
    script += f"from playback.cli import main; sys.exit(main(['replay', {str(trace)!r}]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("the replay is the same\n")


def test_the_way_of_a_session_is_drawn_on_the_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_program("dot", "Debian package graphviz")
    trace, said, replayed = (tmp_path / name for name in ("say.jsonl", "say.svg", "replay.svg"))
    assert main(["say", "Hi.", "--at", "0.1", "pause", "--at", "0.2", "resume", "--trace", str(trace)]) == 0
    assert main(["say", "Hi.", "--at", "0.1", "pause", "--at", "0.2", "resume", "--chart", str(said)]) == 0
    assert main(["replay", str(trace), "--chart", str(replayed)]) == 0
    assert "pause / paused ×1" in read_svg(said)
    assert read_svg(said) == read_svg(replayed)
    capsys.readouterr()


def test_without_graphviz_a_chart_is_refused_before_anything_plays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="2"):
        main(["say", TEXT, "--chart", "way.svg"])
    assert "install Graphviz" in capsys.readouterr().err


def test_a_session_sends_and_receives_the_same_sound() -> None:
    recording = perform(("0", f"say {TEXT}"), ("0.7", "pause"), ("1.2", "resume 0.3"), sample_rate=24_000)
    (report,) = recording.reports
    assert (report.outcome, report.heard, report.discarded) == (Outcome.COMPLETED, TEXT, 0)
    assert recording.cues[1:] == [(16_800, "pause"), (28_800, "resume 0.3")]
    assert not recording.timed_out
    # The rewound 0.3 s sound twice, but count once.
    sounding = [event for event in recording.events if event.name in ("first_audio_byte", "last_audio_byte")]
    first, last = (event.position for event in sounding)
    assert last - first == report.played + round(0.3 * 24_000) + round(0.5 * 24_000)
    assert level(recording.sent, 0.71, 1.2, 24_000) == 0

    assert 0 < recording.delay_seconds < 1
    sent, received = envelope(recording.sent, 24_000), envelope(recording.received, RECEIVED_RATE)
    size = min(len(sent), len(received))
    if not any(event.name == "stalled" for event in recording.events):
        fits = [np.corrcoef(sent[: size - lag], received[lag:size])[0, 1] for lag in range(60)]
        assert max(fits) > 0.9
        # The encoder's and the decoder's look-ahead shift the sound within its frames.
        assert abs(int(np.argmax(fits)) / 100 - recording.delay_seconds) < 0.05


def test_a_text_without_a_sound_does_not_end_the_session() -> None:
    recording = perform(("0", "say ?"), ("0.1", "say - - -"), ("0.2", "say \u200b"), ("0.3", f"say {TEXT}"))
    outcomes = [(report.outcome, report.heard) for report in recording.reports]
    assert outcomes == [(Outcome.FAILED, "")] * 3 + [(Outcome.COMPLETED, TEXT)]
    assert not recording.timed_out


@pytest.mark.parametrize("text", ["?", "\udce9", "[["])
def test_a_text_without_a_sound_is_shown(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", text]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "utterance-1 failed: there is nothing to say in" in shown


def test_speech_that_breaks_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise SpeechError("the engine is broken")

    monkeypatch.setattr("playback.speech.synthesize", broken)
    with pytest.raises(SpeechError, match="the engine is broken"):
        perform(("0", f"say {TEXT}"))


def test_what_is_said_while_locked_is_refused() -> None:
    recording = perform(("0", "lock"), ("0.1", "say Too late."), ("0.6", "unlock"), ("0.7", "say Hi."))
    late, hello = recording.reports
    assert (late.outcome, late.accepted, late.refused) == (Outcome.INTERRUPTED, 0, 0)  # nothing was made
    assert not late.heard
    assert hello.outcome is Outcome.COMPLETED
    assert [word for _, word in recording.words] == ["Hi"]


def test_an_interrupt_at_a_word_lets_it_end() -> None:
    recording = perform(("0", f"say {TEXT}"), ("0.4", "interrupt word"))
    (report,) = recording.reports
    assert report.outcome is Outcome.INTERRUPTED
    ends = [mark.until for mark in report.marks] + [mark.at for mark in report.marks]
    assert report.played in ends or report.played == round(0.4 * 48_000), "between two words it cuts at once"


def test_a_pause_that_nobody_ends_ends_the_session() -> None:
    recording = perform(("0", f"say {TEXT}"), ("0.4", "pause"))
    (report,) = recording.reports
    assert report.outcome is Outcome.CLOSED
    assert 0 < report.played <= round(0.4 * 48_000)
    assert recording.seconds < 2
    changes = [event.new for event in recording.events if isinstance(event, StateChanged)]
    assert changes[-2:] == ["paused", "closed"]


def test_a_session_that_takes_too_long_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", "Hi.", "--at", "30", "pause", "--limit", "0.8"]) == 1
    out, err = capsys.readouterr()
    assert "0.8 s" in err
    assert "closed" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["say", TEXT, "--at", "soon", "pause"], "'soon'"),
        (["say", TEXT, "--at", "-1", "pause"], "'-1'"),
        (["say", TEXT, "--at", "nan", "pause"], "'nan'"),
        (["say", TEXT, "--at", "inf", "pause"], "'inf'"),
        (["say", TEXT, "--at", "1", "stop"], "'stop'"),
        (["say", TEXT, "--at", "1", ""], "''"),
        (["say", TEXT, "--at", "1", "pause 3"], "'3'"),
        (["say", TEXT, "--at", "1", "resume back"], "'back'"),
        (["say", TEXT, "--at", "1", "resume -2"], "'-2'"),
        (["say", TEXT, "--at", "1", "interrupt now"], "'now'"),
        (["say", TEXT, "--at", "1", "say"], "'say'"),
        (["say", TEXT, "--at", "1"], "--at"),
        (["say", " "], "the text is empty, expected a text"),
        (["say", TEXT, "--voice", "xx-nowhere"], "'xx-nowhere'"),
        (["say", TEXT, "--rate", "fast"], "'fast'"),
        (["say", TEXT, "--rate", "12"], "12"),
        (["say", TEXT, "--rate", "48001"], "48001"),
        (["say", TEXT, "--limit", "0"], "0.0"),
        (["say", TEXT, "--out", "missing/say.wav"], "'missing/say.wav'"),
        (["say", TEXT, "--out", "."], "'.'"),
        (["say", TEXT, "--plot", "missing/say.svg"], "'missing/say.svg'"),
        (["say", TEXT, "--out", "say.wav", "--plot", "missing/say.svg"], "'missing/say.svg'"),
        (["say", TEXT, "--plot", "say.bmp"], "'say.bmp'"),
        (["say", TEXT, "--out", "say.mp3"], "'say.mp3'"),
        (["say", TEXT, "--background", "missing.ogg"], "missing.ogg"),
        (["say", TEXT, "--background", "file"], "file"),
        (["say", TEXT, "--record", "missing/say.flac"], "'missing/say.flac'"),
        (["say", TEXT, "--record", "say.txt"], "'say.txt'"),
        (["say", TEXT, "--trace", "missing/say.jsonl"], "'missing/say.jsonl'"),
        (["say", TEXT, "--trace", "say.txt"], "'say.txt'"),
        (["say", TEXT, "--chart", "way.png"], "'way.png'"),
        (["say", "--at", "1", "pause"], "the text is empty, expected a text"),
        (["demo", "--port", "http"], "'http'"),
        (["replay"], "FILE.jsonl"),
        (["replay", "missing.jsonl"], "missing.jsonl"),
        (["replay", "file"], "file: line 1: expected JSON"),
        (["replay", "file", "--chart", "way.txt"], "--chart: 'way.txt' does not end in .svg"),
        (["replay", "file", "--chart", "missing/way.svg"], "'missing/way.svg' can't be written"),
        (["sing"], "'sing'"),
        ([], "demo,say,serve,phone,replay"),
    ],
)
def test_a_mistake_is_named_before_anything_plays(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("kept")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    out, err = capsys.readouterr()
    assert exit_.value.code == 2
    assert named in err.splitlines()[-1]
    assert out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_was_there_is_kept_until_there_is_something_to_write(tmp_path: Path) -> None:
    (tmp_path / "say.wav").write_text("kept")
    with pytest.raises(SystemExit):
        main(["say", TEXT, "--out", str(tmp_path / "say.wav"), "--plot", str(tmp_path / "none" / "say.svg")])
    assert (tmp_path / "say.wav").read_text() == "kept"


def test_missing_packages_are_reported_with_the_extra_that_brings_them() -> None:
    script = "import sys; sys.modules['rich'] = sys.modules['matplotlib'] = None\n"
    script += "sys.modules['uvicorn'] = None\nfrom playback.cli import main; main([sys.argv[1], *sys.argv[2:]])"
    for arguments, missing in ((["say", "Hi."], "matplotlib, rich"), (["demo"], "uvicorn")):
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert f"{missing} not found" in done.stderr
        assert "voice-playback[demo]" in done.stderr


def test_the_demo_serves_its_page_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "playback", "demo", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        address = re.search(r"http://[^ ]+", line)
        assert address, line
        with urllib.request.urlopen(address[0]) as page:
            assert "<title>" in page.read().decode()
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=20)
    assert (server.returncode, err) == (0, ""), out
