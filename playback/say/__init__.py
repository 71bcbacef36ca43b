"""The scripted call of ``playback say``: its session, recording, console and plot."""
