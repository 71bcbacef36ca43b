"""Adapters of the controller for agent frameworks."""
