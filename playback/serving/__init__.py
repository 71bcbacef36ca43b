"""Calls of many callers, each with an agent: in one process, or on Ray Serve. Needs the extra ``serve``."""
