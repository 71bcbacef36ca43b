"""Dialects: the messages of the carriers' documentation, and everything that is none."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat
from playback.telephony import (
    CarrierError,
    Dialect,
    Digit,
    MarkPlayed,
    Media,
    MessageError,
    Started,
    Stopped,
    Telnyx,
    Twilio,
    Vonage,
)
from tests.fuzzing import thorough
from tests.telephony.calls import sides
from tests.telephony.shapes import TelnyxSide, TwilioSide, VonageSide

pytestmark = pytest.mark.portable

each_side = pytest.mark.parametrize(
    "side", sides(), ids=lambda side: f"{type(side).__name__}-{side.encoding}-{side.rate}"
)


def started(side: TwilioSide) -> tuple[Dialect, Started]:
    """A dialect whose stream has started, and what its start said."""
    dialect = side.dialect()
    events = [dialect.receive(message) for message in side.start()]
    assert events[:-1] == [None] * (len(events) - 1)
    assert isinstance(events[-1], Started)
    return dialect, events[-1]


@each_side
def test_a_dialect_is_one(side: TwilioSide) -> None:
    assert isinstance(side.dialect(), Dialect)


@each_side
def test_a_start_says_how_both_sides_are_encoded(side: TwilioSide) -> None:
    start = started(side)[1]
    assert start.incoming == start.outgoing == AudioFormat(side.rate, encoding=side.encoding)
    assert start.call_id


def test_what_the_application_has_given_comes_with_the_start() -> None:
    assert started(TwilioSide())[1].parameters == {"FirstName": "Jane"}
    assert started(VonageSide())[1].parameters == {"call_id": "call-7"}
    assert started(VonageSide())[1].call_id == "call-7"


@each_side
def test_messages_of_the_stream_are_events(side: TwilioSide) -> None:
    dialect, _ = started(side)
    audio = side.encode(np.arange(-80, 80, dtype=np.int16))
    assert dialect.receive(side.media(audio)) == Media(audio)
    assert dialect.receive(side.mark("playback-1")) == MarkPlayed("playback-1")
    assert dialect.receive(side.dtmf("#")) == Digit("#")
    for message in side.cleared():
        assert dialect.receive(message) is None
    assert dialect.receive(side.stop()) == Stopped()


@each_side
def test_the_carrier_understands_what_is_sent(side: TwilioSide) -> None:
    dialect, _ = started(side)
    audio = side.encode(np.zeros(side.rate // 50, np.int16))
    assert side.read(dialect.media(audio)) == ("media", audio, "")
    assert side.read(dialect.mark("playback-1")) == ("mark", b"", "playback-1")
    clear = dialect.clear()
    assert clear is not None
    assert side.read(clear) == ("clear", b"", "")


def test_what_the_agent_says_itself_is_no_audio_of_the_caller() -> None:
    side = TelnyxSide()
    dialect, _ = started(side)
    message = json.loads(side.media(b"\xff"))
    message["media"]["track"] = "outbound"
    assert dialect.receive(json.dumps(message)) is None


def test_what_telnyx_refuses_is_an_error_that_can_be_logged() -> None:
    dialect, _ = started(TelnyxSide())
    payload = {"code": 100003, "title": "malformed\x1b[2J\nframe", "detail": "x" * 10_000}
    event = dialect.receive(json.dumps({"event": "error", "payload": payload}))
    assert isinstance(event, CarrierError)
    assert "100003" in event.text
    assert event.text.isprintable()
    assert len(event.text) <= 301


def test_l16_of_telnyx_may_have_either_order_of_bytes() -> None:
    side = TelnyxSide("L16", 16_000)
    dialect = Telnyx(AudioFormat(24_000, encoding="s16be"), l16_byte_order="big")
    start = [dialect.receive(message) for message in side.start()][-1]
    assert isinstance(start, Started)
    assert (start.incoming, start.outgoing) == (
        AudioFormat(16_000, encoding="s16be"),
        AudioFormat(24_000, encoding="s16be"),
    )
    with pytest.raises(ValueError, match="l16_byte_order is 'middle'"):
        Telnyx(l16_byte_order="middle")  # type: ignore[arg-type]


def _with(message: str | bytes, *path: str, value: Any) -> str:
    data = inner = json.loads(message)
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(data)


MALFORMED = ["", "{", "[]", "null", "1", '"media"', "[" * 100_000, '{"event":1}', "{}", '{"event":null}', "\ud800"]


@each_side
@pytest.mark.parametrize("message", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_malformed_is_invalid_data(side: TwilioSide, message: str) -> None:
    for dialect in (side.dialect(), started(side)[0]):
        with pytest.raises(MessageError) as raised:
            dialect.receive(message)
        assert raised.value.code == 1007
        assert len(raised.value.reason.encode()) <= 123


@each_side
def test_what_is_unknown_is_not_supported(side: TwilioSide) -> None:
    dialect, _ = started(side)
    with pytest.raises(MessageError, match="an unknown event") as raised:
        dialect.receive('{"event":"\\u001b[2J"}')
    assert raised.value.code == 1003


@each_side
def test_the_order_of_messages_is_that_of_the_protocol(side: TwilioSide) -> None:
    fresh = side.dialect()
    for message in (side.media(b"\x00\x00"), side.mark("a"), side.dtmf("1")):
        with pytest.raises(MessageError) as raised:
            fresh.receive(message)
        assert raised.value.code == 1002
    dialect, _ = started(side)
    with pytest.raises(MessageError, match="a second") as raised:
        dialect.receive(side.start()[-1])
    assert raised.value.code == 1002


@pytest.mark.parametrize("side", [TwilioSide(), TelnyxSide()], ids=["twilio", "telnyx"])
def test_messages_of_another_stream_break_the_policy(side: TwilioSide) -> None:
    dialect, _ = started(side)
    side.stream = "MZ0"
    for message in (side.media(b"\xff"), side.mark("a"), side.dtmf("1")):
        with pytest.raises(MessageError, match="another stream") as raised:
            dialect.receive(message)
        assert raised.value.code == 1008


@pytest.mark.parametrize("side", [TwilioSide(), TelnyxSide()], ids=["twilio", "telnyx"])
def test_binary_messages_are_not_supported_where_all_is_json(side: TwilioSide) -> None:
    with pytest.raises(MessageError, match="text") as raised:
        side.dialect().receive(b"\xff" * 160)
    assert raised.value.code == 1003


TWILIO = ("start", "mediaFormat")
TELNYX = ("start", "media_format")


@pytest.mark.parametrize(
    ("side", "path", "value", "code"),
    [
        (TwilioSide(), (*TWILIO, "encoding"), "audio/opus", 1003),
        (TwilioSide(), (*TWILIO, "encoding"), None, 1007),
        (TwilioSide(), (*TWILIO, "sampleRate"), 8_001, 1003),
        (TwilioSide(), (*TWILIO, "sampleRate"), True, 1007),
        (TwilioSide(), (*TWILIO, "sampleRate"), 1e300, 1007),
        (TwilioSide(), (*TWILIO, "sampleRate"), "9" * 5_000, 1007),
        (TwilioSide(), (*TWILIO, "channels"), 2, 1003),
        (TwilioSide(), TWILIO, ..., 1007),
        (TwilioSide(), ("start",), [], 1007),
        (TwilioSide(), ("start", "callSid"), "a\nb", 1007),
        (TwilioSide(), ("start", "callSid"), "../" * 1_000, 1007),
        (TwilioSide(), ("streamSid",), "", 1007),
        (TwilioSide(), ("streamSid",), 7, 1007),
        (TelnyxSide(), (*TELNYX, "encoding"), "OPUS", 1003),
        (TelnyxSide(), (*TELNYX, "sample_rate"), 48_000, 1003),
        (TelnyxSide(), ("start", "call_control_id"), ..., 1007),
        (VonageSide(), ("content-type",), "audio/l16;rate=48000", 1003),
        (VonageSide(), ("content-type",), "audio/opus", 1003),
        (VonageSide(), ("content-type",), ..., 1007),
        (VonageSide(), ("call_id",), "a b", 1007),
    ],
)
def test_a_start_that_can_not_be_is_refused(side: TwilioSide, path: tuple[str, ...], value: Any, code: int) -> None:
    dialect = side.dialect()
    *before, start = side.start()
    for message in before:
        dialect.receive(message)
    with pytest.raises(MessageError) as raised:
        dialect.receive(_with(start, *path, value=value))
    assert raised.value.code == code


@pytest.mark.parametrize("side", [TwilioSide(), TelnyxSide()], ids=["twilio", "telnyx"])
@pytest.mark.parametrize("payload", [None, 7, "*", "AAA", "ä", "AA==\n", {"a": 1}, ...])
def test_a_payload_that_is_not_base64_is_invalid_data(side: TwilioSide, payload: Any) -> None:
    dialect, _ = started(side)
    with pytest.raises(MessageError) as raised:
        dialect.receive(_with(side.media(b"\xff"), "media", "payload", value=payload))
    assert raised.value.code == 1007


@each_side
@pytest.mark.parametrize("key", ["", "12", "é", "\n", "%s", "E"])
def test_a_key_that_no_telephone_has_is_invalid_data(side: TwilioSide, key: str) -> None:
    dialect, _ = started(side)
    with pytest.raises(MessageError, match="no key") as raised:
        dialect.receive(side.dtmf(key))
    assert raised.value.code == 1007


def test_vonage_may_wrap_its_keys() -> None:
    dialect, _ = started(VonageSide())
    assert dialect.receive('{"event":"websocket:dtmf","dtmf":{"digit":"5","duration":260}}') == Digit("5")


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.fuzz
@thorough(300)
@given(st.data())
def test_whatever_comes_is_an_event_or_a_message_error(data: st.DataObject) -> None:
    side = data.draw(st.sampled_from((TwilioSide(), TelnyxSide(), VonageSide())))
    dialect = side.dialect()
    if data.draw(st.booleans()):
        dialect, _ = started(side)
    known: list[str | bytes] = [*side.start(), side.mark("a"), side.dtmf("1"), side.stop()]
    message = json.loads(data.draw(st.sampled_from(known)))
    for _ in range(data.draw(st.integers(1, 3))):
        inner = message
        while True:
            key = data.draw(st.sampled_from(sorted(inner)))
            if isinstance(inner[key], dict) and inner[key] and data.draw(st.booleans()):
                inner = inner[key]
                continue
            inner[key] = data.draw(json_values)
            break
    refusals = []
    try:
        dialect.receive(json.dumps(message))
    except MessageError as error:
        refusals.append((error.code, len(error.reason.encode())))
    assert all(1002 <= code <= 1009 and length <= 123 for code, length in refusals)


def test_the_dialects_are_named() -> None:
    assert [Twilio().name, Telnyx().name, Vonage().name] == ["Twilio", "Telnyx", "Vonage"]
