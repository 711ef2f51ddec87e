"""Limbeck: distil what four MRI sequences know into networks that need only the ones a patient has.

Importing the package imports no torch: the public faces are found when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from limbeck.version import __version__ as __version__

if TYPE_CHECKING:
    from limbeck.inference.model import Model

    load = Model.load

_ROOMS = ("losses", "methods", "networks", "data", "evaluation")


def __getattr__(name: str) -> Any:
    if name == "load":
        return importlib.import_module("limbeck.inference.model").Model.load
    if name in _ROOMS:
        return importlib.import_module(f"limbeck.{name}")
    raise AttributeError(f"module 'limbeck' has no attribute {name!r}")
