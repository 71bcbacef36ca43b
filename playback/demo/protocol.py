"""The protocol of the data channel: what a page may say, each message a checked command, and what is sent to it.

Both ways go JSON objects in text messages; a file follows its command in binary ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from math import isfinite
from typing import Any, ClassVar, Final, Literal, TypeVar, get_args

from playback.demo.settings import DemoSettings
from playback.events import Event, names_of_fields
from playback.report import TurnReport, UtteranceReport
from playback.turn import Turn
from playback.utterance import Utterance

LONGEST_SECONDS: Final = 60.0
"""The longest time that a command may name."""

HIGHEST_GAIN_DB: Final = 24.0
"""How much louder a voice may be made."""

LOWEST_GAIN_DB: Final = -120.0
"""How much softer; below what 16 bits can hold."""

MOST_SKIPPED_BYTES: Final = 64 * 1024 * 1024
"""How much of a file that was refused may still come, without being taken for messages too many."""

MESSAGE_CHARACTERS: Final = 16_384
"""How long a message may be."""

_CONTROLS: Final = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")

Mode = Literal["pause", "duck"]


class ProtocolError(ValueError):
    """A message that can't be carried out: says which value it was, and what was expected.

    Args:
        message: what to send to the page.
        do: the command it was, as far as it is known.
        skip: how many bytes of a file follow all the same.
    """

    def __init__(self, message: str, do: str | None = None, skip: int = 0) -> None:
        super().__init__(message)
        self.do: Final = do
        self.skip: Final = skip


# Commands: their fields are what a message may have, with what stands for one that it leaves out


@dataclass(frozen=True, slots=True)
class Say:
    """Say a text."""

    do: ClassVar[str] = "say"
    text: str
    interruptible: bool = True


@dataclass(frozen=True, slots=True)
class Pause:
    """Hold the speech."""

    do: ClassVar[str] = "pause"


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on, so many seconds earlier or at the word that was cut."""

    do: ClassVar[str] = "resume"
    rewind: float = 0.0
    to_word: bool = False


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Drop the speech."""

    do: ClassVar[str] = "interrupt"
    lock: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Lock:
    """Refuse all audio."""

    do: ClassVar[str] = "lock"


@dataclass(frozen=True, slots=True)
class Unlock:
    """Take audio again."""

    do: ClassVar[str] = "unlock"


@dataclass(frozen=True, slots=True)
class Gain:
    """Make the speech louder or softer."""

    do: ClassVar[str] = "gain"
    db: float


@dataclass(frozen=True, slots=True)
class Music:
    """Let music sound beneath the speech, or stop it."""

    do: ClassVar[str] = "background"
    on: bool
    gain_db: float = -12.0
    duck_db: float = 12.0


@dataclass(frozen=True, slots=True)
class Listen:
    """Let the user's speech interrupt the agent's, or no longer."""

    do: ClassVar[str] = "barge_in"
    on: bool
    mode: Mode = "pause"
    pause_after_seconds: float = 0.35
    min_seconds: float = 1.2
    false_after_seconds: float = 0.6
    lock: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """Play a file, whose bytes follow, and of which it may be known what it says."""

    do: ClassVar[str] = "file"
    name: str
    bytes: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer; and note up to which position the page has heard the speech, if it is 0 or more."""

    do: ClassVar[str] = "ping"
    n: int = 0
    heard: int = -1


Command = Say | Pause | Resume | Interrupt | Lock | Unlock | Gain | Music | Listen | File | Ping

COMMANDS: Final[dict[str, type[Command]]] = {command.do: command for command in get_args(Command)}
"""Every command, by its name."""

Check = Callable[[Any], Any]


def parse(message: str, settings: DemoSettings) -> Command:
    """Read a text message.

    Args:
        message: what the page has sent.
        settings: how long texts and files may be.

    Raises:
        ProtocolError: it is no command that can be carried out.
    """
    if len(message) > MESSAGE_CHARACTERS:
        raise ProtocolError(f"the message has {len(message)} characters, expected at most {MESSAGE_CHARACTERS}")
    try:
        values = json.loads(message)
    except (ValueError, RecursionError):
        raise ProtocolError(f"the message is {_shown(message)}, expected a JSON object") from None
    if not isinstance(values, dict):
        raise ProtocolError(f"the message is {_shown(values)}, expected a JSON object")
    do = values.pop("do", None)
    kind = COMMANDS.get(do) if isinstance(do, str) else None
    if kind is None:
        raise ProtocolError(f"do is {_shown(do)}, expected one of {', '.join(COMMANDS)}", _name(do))
    try:
        return _read(kind, values, settings)
    except ProtocolError as error:
        size = values.get("bytes")
        skip = min(size, MOST_SKIPPED_BYTES) if kind is File and type(size) is int and size > 0 else 0
        raise ProtocolError(str(error), kind.do, skip) from None


C = TypeVar("C")


def _read(kind: type[C], values: dict[str, Any], settings: DemoSettings) -> C:
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := [name for name in values if name not in known]:
        expected = f"expected {', '.join(known)}" if known else "expected none"
        raise ProtocolError(f"there is no value {_shown(unknown[0])} in this command, {expected}")
    checked = {}
    for name, field in known.items():
        if name in values:
            checked[name] = _check(kind, name, str(field.type), values[name], settings)
        elif field.default is MISSING:
            raise ProtocolError(f"{name} is missing")
    return kind(**checked)


def _check(kind: type[object], name: str, type_name: str, value: Any, settings: DemoSettings) -> Any:
    """See that a value is of its field's type, and within its bounds."""
    match type_name:
        case "bool":
            return _expect(name, value, isinstance(value, bool), "true or false")
        case "int":
            whole = type(value) is int
            if name == "bytes":
                limit = settings.file_bytes
                return _expect(name, value, whole and 0 < value <= limit, f"a whole number from 1 to {limit}")
            return _expect(name, value, whole and abs(value) < 2**53, "a whole number below 2^53")
        case "float":
            lowest, highest, unit = _bounds(name)
            # An int may be beyond any float; and what is no number lies nowhere.
            fits = type(value) in (int, float) and lowest <= value <= highest
            return float(_expect(name, value, fits, f"a number of {unit} from {lowest:g} to {highest:g}"))
        case "Mode":
            modes = get_args(Mode)
            return _expect(name, value, value in modes if isinstance(value, str) else False, " or ".join(modes))
    limit = settings.text_characters if name == "text" else 255
    is_needed = kind is not File or name != "text"
    text = isinstance(value, str) and (bool(value.strip()) or not is_needed) and len(value) <= limit
    if isinstance(value, str) and len(value) > limit:
        raise ProtocolError(f"{name} has {len(value)} characters, expected at most {limit}")
    _expect(name, value, text, f"a text of {int(is_needed)} to {limit} characters")
    # JSON can hold halves of characters, which can't be encoded for anybody else; and the engine takes some control
    # characters for commands, which hold for every text to come, of other sessions, too.
    return value.encode("utf-8", "replace").decode().translate(_CONTROLS)


def _bounds(name: str) -> tuple[float, float, str]:
    if name == "duck_db":
        return 0.0, -LOWEST_GAIN_DB, "dB"
    if name.endswith("db"):
        return LOWEST_GAIN_DB, HIGHEST_GAIN_DB, "dB"
    return 0.0, LONGEST_SECONDS, "seconds"


def _expect(name: str, value: Any, true: bool, expected: str) -> Any:
    if not true:
        raise ProtocolError(f"{name} is {_shown(value)}, expected {expected}")
    return value


def _shown(value: Any) -> str:
    """A value as a message can hold it: whatever was sent, its beginning."""
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:80]}…"


def _name(do: Any) -> str | None:
    return do[:40] if isinstance(do, str) else None


# What is sent to the page


def line(kind: str, values: Mapping[str, Any]) -> str:
    """One message to the page; the values are what :func:`plain` gives."""
    return json.dumps({"is": kind, **values}, separators=(",", ":"))


def event_line(event: Event) -> str:
    """An event of the controller."""
    values = {name: plain(getattr(event, name)) for name in ("position", *names_of_fields(type(event)))}
    return line("event", {"name": event.name, **values})


def plain(value: Any) -> Any:
    """A value as JSON can hold it: an utterance or a turn is its id, whatever is unknown its text."""
    match value:
        case Utterance() | Turn():
            return value.id
        case UtteranceReport() | TurnReport():
            counts = {"played": value.played, "discarded": value.discarded}
            return {"outcome": str(value.outcome), **counts, "heard": value.heard, "text": value.text}
        case None | bool() | int():
            return value
        case float():
            return value if isfinite(value) else None
        case BaseException():
            return f"{type(value).__name__}: {value}"[:500]
    return str(value)[:500]
