"""The backend that the settings name."""

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Protocol, runtime_checkable

from pydantic import AfterValidator

from services.core.rendering.base import RenderBackend
from services.core.rendering.drawing import DrawingBackend


class UnknownBackend(ValueError):
    """The setting names no backend."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name!r} names no backend: {reason}")
        self.name = name


@runtime_checkable
class StartedBackend(Protocol):
    """A backend that wants to be started before its first request."""

    async def start(self) -> None: ...


def checked_backend(name: str) -> str:
    """The name of a backend that there is. Raises UnknownBackend, a ValueError."""
    _maker(name)
    return name


async def open_backend(name: str) -> RenderBackend:
    """`drawing`, or what the factory `module:factory` returns; started if it can be.

    Raises UnknownBackend.
    """
    backend = _maker(name)()
    if isinstance(backend, StartedBackend):
        await backend.start()
    return backend


def _maker(name: str) -> Callable[[], RenderBackend]:
    if name == "drawing":
        return DrawingBackend
    module_name, _, factory_name = name.partition(":")
    if not factory_name:
        raise UnknownBackend(name, "neither `drawing` nor of the form `module:factory`")
    try:
        factory: Callable[[], RenderBackend] = getattr(import_module(module_name), factory_name)
    except (ImportError, AttributeError, ValueError) as fault:
        raise UnknownBackend(name, str(fault)) from fault
    return factory


BackendName = Annotated[str, AfterValidator(checked_backend)]
