"""What several of these modules share."""

from __future__ import annotations

import pytest
from livekit_rig import Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()
