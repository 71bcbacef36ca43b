"""Audio: formats, conversion, buffers, ramps and the limiter. Nothing here knows of a queue or a chart."""
