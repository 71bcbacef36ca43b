"""What playback costs: CPU and memory, against a baseline measured in the same run.

The baseline is what no frame source on aiortc can do without: a fresh ``av.AudioFrame`` of 20 ms at 24 kHz mono, filled
from bytes that are ready, and stamped. A clock frequency that jumps by a factor of two between moments makes a figure
in microseconds worth little, so baseline and subject take turns in batches of 50 frames, one second of audio, and a
speed is the median of their ratios. Run it with ``python -m benchmarks.micro``.
"""
