"""Opus, without a transport: an encoder and a decoder of libopus, and what they are set to."""
