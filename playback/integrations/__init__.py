"""Faces of the controller for frameworks that have an audio output of their own."""
