"""Parts of a service, to be broken."""

import random
from importlib import import_module
from typing import Any

CHANCE = random.Random(7)


def module(name: str) -> Any:
    """Any: what is broken in it is none of the type checker's business."""
    return import_module(name)
