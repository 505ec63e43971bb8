"""A pytest plugin: the tests of one service run in a process that cannot import the others (`./manage.py test` asks for it)."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_SERVICES = ("engine", "realtime", "apps.auth", "apps.records", "apps.billing", "apps.notifications", "apps.strangler")


class _Others(MetaPathFinder):
    def __init__(self, mine: str) -> None:
        self._others = tuple(name for name in _SERVICES if name != f"apps.{mine}")

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in self._others:
            raise ImportError(f"{name} is another service; nothing here may need it")
        return None


sys.meta_path.insert(0, _Others(os.environ["ALONE"]))
