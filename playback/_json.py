"""Values as JSON can hold them."""

from __future__ import annotations

import json
from math import isfinite
from numbers import Real
from typing import Any


def jsonable(value: Any) -> Any:
    """A copy of what JSON can hold, as JSON gives it back; of anything else ``{"repr": ...}``, which is no word."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    # What it does is the user's, and no reason for a call to fail.
    except Exception:
        pass
    try:
        if isinstance(value, Real) and isfinite(value):  # numpy's
            return float(value)
        return {"repr": repr(value)}
    except Exception:
        return {"repr": object.__repr__(value)}


def message_of(error: BaseException) -> str:
    """What an exception says; its type and place if that can't be had, for its ``__str__`` is the user's."""
    try:
        return str(error)
    except Exception:
        return object.__repr__(error)
