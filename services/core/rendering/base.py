"""What a render backend is: the request, the port and the ways to fail."""

from dataclasses import dataclass
from typing import Protocol

from schemas.profile import Profile

DEFAULT_PIXELS = 1024


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """One image of one influencer: `view` of `profile`, `width` x `height` pixels.

    `seed_images` are encoded pictures (PNG, JPEG or WebP) whose looks the result should follow.
    With a `brief`, of 1 to 1024 characters in any script, the image shows that same person as it
    suits the brief, and bears the brief as text: whole, legible and not over the face.
    """

    organization_id: str
    influencer_id: str
    profile: Profile
    view: str
    width: int = DEFAULT_PIXELS
    height: int = DEFAULT_PIXELS
    seed_images: tuple[bytes, ...] = ()
    brief: str | None = None


class RenderBackend(Protocol):
    """Draws images. Safe to use from many tasks of one event loop at once.

    Which RenderError it raises decides what becomes of the job: RenderRejected ends it;
    RenderTimeout and RenderBackendError are tried again a few times; RenderBusy, such as for a
    status 429, is waited for and counts as no attempt.
    """

    name: str

    async def render(self, request: RenderRequest) -> bytes:
        """Return the image as an opaque PNG. Raises RenderError."""

    async def close(self) -> None:
        """Release processes and connections; no `render` may follow."""


class RenderError(Exception):
    """A render that gave no image; `code` and `retryable` are what an event says of it."""

    def __init__(self, code: str, message: str, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class RenderRejected(RenderError):
    """The backend will not draw this, now or later."""

    def __init__(self, message: str) -> None:
        super().__init__("RENDER_REJECTED", message, retryable=False)


class RenderTimeout(RenderError):
    """The backend took too long."""

    def __init__(self, message: str) -> None:
        super().__init__("RENDER_TIMEOUT", message, retryable=True)


class RenderBackendError(RenderError):
    """The backend failed or could not be reached."""

    def __init__(self, message: str) -> None:
        super().__init__("RENDER_BACKEND_ERROR", message, retryable=True)


class GivenUp(RenderError):
    """The job was started again and again, and no worker lived to end it."""

    def __init__(self, starts: int) -> None:
        message = f"The job was started {starts} times and never ended."
        super().__init__("RENDER_BACKEND_ERROR", message, retryable=False)


class RenderBusy(RenderError):
    """The backend takes no requests just now: its rate limit, its quota, no room left.

    `retry_after` is in seconds from now, as its `Retry-After` says. Neither this job nor, by this
    worker, any other is tried before; the waiting is bounded (RENDERER_BUSY_LIMIT).
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__("RENDER_BACKEND_ERROR", message, retryable=True)
        self.retry_after = retry_after if retry_after >= 0 else 0.0


class SeedUnreadable(RenderError):
    """A seed image does not decode."""

    def __init__(self, message: str) -> None:
        super().__init__("SEED_UNREADABLE", message, retryable=False)
