"""All but one of these need libdatachannel, which has wheels for Python 3.12 and later: ``make native`` runs them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

if importlib.util.find_spec("libdatachannel") is None:
    here = Path(__file__).parent
    collect_ignore = [file.name for file in here.glob("test_*.py") if file.name != "test_import.py"]
