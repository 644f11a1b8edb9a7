"""What a request has to pass before its handler: key, scope, rate limit and load; and what it is
told."""

from typing import NamedTuple

from aiohttp import web

from services.api.authentication import require_scope
from services.api.calls import Api
from services.api.errors import Overloaded, RateLimited, Unauthenticated
from services.api.load_limit import Seat
from services.api.rate_limits import Allowance, LimitClass
from services.api.time_limit import READS
from services.core.controlplane import ApiKey
from services.core.errors import DependencyUnavailable

ALLOWANCE: web.RequestKey[Allowance] = web.RequestKey("allowance", Allowance)


class Admitted(NamedTuple):
    key: ApiKey
    seat: Seat


async def admit(
    api: Api, request: web.Request, scope: str | None, limit_class: LimitClass
) -> Admitted:
    """The key of the request, which is charged, and its seat, which is to be left.

    Raises Unauthenticated, ForbiddenScope, RateLimited, Overloaded, DependencyUnavailable.
    """
    key = await api.keys.authenticate(request)
    allowance = api.rate_limits.allowance(key, limit_class)
    request[ALLOWANCE] = allowance
    require_scope(key, scope)
    seat = Seat(api.load.reads if request.method in READS else api.load.writes, key.organization_id)
    try:
        allowance.charge()
        await seat.take()
    except (RateLimited, Overloaded):
        allowance.give_back()
        await api.pacing.refused(key.organization_id)
        raise
    return Admitted(key, seat)


async def admit_stray(api: Api, request: web.Request) -> None:
    """A request that no route takes counts too, where its key is known; no key is asked of it.

    Raises RateLimited.
    """
    try:
        key = await api.keys.authenticate(request)
    except (Unauthenticated, DependencyUnavailable):
        return
    limit_class: LimitClass = "read" if request.method in READS else "write"
    request[ALLOWANCE] = api.rate_limits.allowance(key, limit_class)
    request[ALLOWANCE].charge()


async def tell_limits(request: web.Request, response: web.StreamResponse) -> None:
    """On every response to a known key, just before it is sent. A 304 is not charged."""
    allowance = request.get(ALLOWANCE)
    if allowance is None:
        return
    if response.status == 304:
        allowance.give_back()
    response.headers.update(allowance.headers())
