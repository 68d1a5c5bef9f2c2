"""A run: plan, fit, generate, score, into a store."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """This package, which users of Python also call: `htbench.run("quickstart")`."""

    def __call__(self, *values: Any, **settings: Any) -> Any:
        """The result of `htbench.results.running.run`, which is above this package."""
        return import_module("htbench.results.running").run(*values, **settings)


sys.modules[__name__].__class__ = _CallableModule
