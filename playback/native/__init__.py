"""Hundreds of calls in one process, through one UDP port: WebRTC whose ICE, DTLS, SRTP and sockets are native threads'.

It needs Python 3.12 or later and the extra ``native``. See docs/native.md for when to use it.
"""

from playback.native.channel import NativeChannel
from playback.native.peer import NativePeer, PeerState

__all__ = ["NativeChannel", "NativePeer", "PeerState"]
