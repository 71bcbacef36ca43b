"""The audio tracks of older voice agents, by name and method, over a controller."""

from playback.integrations.legacy.tracks import (
    CustomAudioStreamTrack,
    EventBus,
    LegacyMixing,
    LegacyTee,
    LegacyTrack,
    LegacyTracks,
    MixingCustomAudioStreamTrack,
    TeeCustomAudioStreamTrack,
    TeeMixingCustomAudioStreamTrack,
    global_event_emitter,
    legacy_tracks,
)

__all__ = [
    "CustomAudioStreamTrack",
    "EventBus",
    "LegacyMixing",
    "LegacyTee",
    "LegacyTrack",
    "LegacyTracks",
    "MixingCustomAudioStreamTrack",
    "TeeCustomAudioStreamTrack",
    "TeeMixingCustomAudioStreamTrack",
    "global_event_emitter",
    "legacy_tracks",
]
