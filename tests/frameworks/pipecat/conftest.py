"""The framework's own log is only noise here: what went wrong is asserted."""

from loguru import logger

logger.remove()
