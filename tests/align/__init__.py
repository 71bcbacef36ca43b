"""Tests of the aligner, and of the process in which it works."""
