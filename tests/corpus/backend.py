"""The drawing backend, but one that refuses what it is asked not to draw."""

from services.core.rendering.base import RenderRejected, RenderRequest
from services.core.rendering.drawing import DrawingBackend

REFUSED = "a trademark"


class ChoosyBackend(DrawingBackend):
    async def render(self, request: RenderRequest) -> bytes:
        if request.profile.style == REFUSED:
            raise RenderRejected("The description asks for a trademark.")
        return await super().render(request)


def choosy() -> ChoosyBackend:
    return ChoosyBackend()
