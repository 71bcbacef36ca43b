"""Tests of word times, and of what was heard."""
