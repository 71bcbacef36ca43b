"""Opus that comes as RTP packets: put in order, what is lost concealed, decoded for whoever listens."""

from playback.rtp.receiver import OpusReceiver as OpusReceiver
from playback.rtp.receiver import ReceiverStats as ReceiverStats
from playback.rtp.receiver import SampleStream as SampleStream

__all__ = ["OpusReceiver", "ReceiverStats", "SampleStream"]
