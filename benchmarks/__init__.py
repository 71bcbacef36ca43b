"""Benchmarks: ``micro``: one call, ``calls``: many real ones, ``browser``: what Chromium plays, ``soak``: hours."""
