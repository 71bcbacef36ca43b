"""``python -m tests``: pytest, as ``make test`` runs it to measure which lines and branches are executed.

pytest itself imports the package of an installed plugin, which is ``statecharts``, past the import hook of slipcover.
So its modules are imported here, before pytest begins.
"""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module

import pytest

import statecharts

for module in pkgutil.iter_modules(statecharts.__path__, "statecharts."):
    import_module(module.name)
sys.exit(pytest.main())
