"""Audio tracks for VideoSDK's agents, over a controller."""

from playback.integrations.videosdk.tracks import (
    CustomAudioStreamTrack,
    MixingCustomAudioStreamTrack,
    TeeCustomAudioStreamTrack,
    TeeMixingCustomAudioStreamTrack,
    install,
)

__all__ = [
    "CustomAudioStreamTrack",
    "MixingCustomAudioStreamTrack",
    "TeeCustomAudioStreamTrack",
    "TeeMixingCustomAudioStreamTrack",
    "install",
]
