"""Phone calls over a carrier's WebSocket, where the audio waits and plays somewhere else.

:func:`answer` holds a call. The agent gets a :class:`PhoneCall` with a controller, whose reports say what the caller
has heard: the carrier's marks confirm it. Nothing here needs a package beyond those of ``playback`` itself.
"""

from playback.telephony.dialect import (
    CarrierError,
    CarrierEvent,
    Dialect,
    Digit,
    JsonDialect,
    MarkPlayed,
    Media,
    Message,
    MessageError,
    Started,
    Stopped,
)
from playback.telephony.limits import CallLimits
from playback.telephony.session import Agent, CallEnd, PhoneCall, TelephonyError, answer
from playback.telephony.sockets import AiohttpSocket, Socket, SocketClosedError, StarletteSocket, WebsocketsSocket
from playback.telephony.telnyx import Telnyx
from playback.telephony.twilio import Twilio
from playback.telephony.vonage import Vonage

__all__ = [
    "Agent",
    "AiohttpSocket",
    "CallEnd",
    "CallLimits",
    "CarrierError",
    "CarrierEvent",
    "Dialect",
    "Digit",
    "JsonDialect",
    "MarkPlayed",
    "Media",
    "Message",
    "MessageError",
    "PhoneCall",
    "Socket",
    "SocketClosedError",
    "StarletteSocket",
    "Started",
    "Stopped",
    "TelephonyError",
    "Telnyx",
    "Twilio",
    "Vonage",
    "WebsocketsSocket",
    "answer",
]
