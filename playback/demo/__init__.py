"""The web demo: a page that shows the chart live, and a server that speaks to it. Needs the extra ``demo``."""

from playback.demo.caller import agent

__all__ = ["agent"]
