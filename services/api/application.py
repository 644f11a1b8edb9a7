"""The application: the table of routes, and what happens around every handler."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp import HttpVersion10, web

from schemas.ids import Prefix
from services.api import event_stream
from services.api.accept import prefers
from services.api.admission import admit, admit_stray, tell_limits
from services.api.answers import PROBLEM, error_answer
from services.api.bodies import MAXIMUM_BODY
from services.api.calls import Api, Call
from services.api.errors import (
    ApiError,
    BadHttp,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    as_api_error,
)
from services.api.handlers import (
    account,
    changes_of_influencer,
    content,
    feed,
    history,
    influencers,
    job_list,
    jobs,
    media,
    media_assets,
    reference_images,
    renders,
    uploads,
)
from services.api.handlers.influencers import is_draft
from services.api.openapi.pages import add_description
from services.api.rate_limits import LimitClass
from services.api.time_limit import READS, time_limit

log = structlog.get_logger(__name__)

REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)

Handler = Callable[[Call], Awaitable[web.StreamResponse]]
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """`scope` is what a key needs; None: any valid key will do.

    `limit` is the class of rate limit that a request counts against; what is long-running starts
    a job, unless it `may_draft` and is asked to.
    """

    method: str
    path: str
    handler: Handler
    scope: str | None
    limit: LimitClass
    may_draft: bool = False

    def starts_job(self, request: web.Request) -> bool:
        return self.limit == "long" and not (self.may_draft and is_draft(request))


ROUTES = (
    Route("GET", "/v1/whoami", account.get_whoami, None, "read"),
    Route("GET", "/v1/projects", account.get_projects, None, "read"),
    Route("GET", "/v1/projects/{projectId}", account.get_project, None, "read"),
    Route(
        "POST",
        "/v1/projects/{projectId}/influencers",
        influencers.create_influencer,
        "influencers:write",
        "long",
        may_draft=True,
    ),
    Route(
        "GET",
        "/v1/projects/{projectId}/influencers",
        influencers.get_influencers,
        "influencers:read",
        "read",
    ),
    Route(
        "GET",
        "/v1/influencers/{influencerId}",
        influencers.get_influencer,
        "influencers:read",
        "read",
    ),
    Route(
        "PATCH",
        "/v1/influencers/{influencerId}",
        changes_of_influencer.patch_influencer,
        "influencers:write",
        "write",
    ),
    Route(
        "DELETE",
        "/v1/influencers/{influencerId}",
        changes_of_influencer.delete_influencer,
        "influencers:write",
        "write",
    ),
    Route(
        "POST",
        "/v1/influencers/{influencerId}/clone",
        renders.clone_influencer,
        "influencers:write",
        "long",
    ),
    Route(
        "POST",
        "/v1/influencers/{influencerId}/render",
        renders.render_influencer,
        "influencers:write",
        "long",
    ),
    Route(
        "POST",
        "/v1/influencers/{influencerId}/reference-images",
        reference_images.link_reference_images,
        "influencers:write",
        "write",
    ),
    Route(
        "DELETE",
        "/v1/influencers/{influencerId}/reference-images/{assetId}",
        reference_images.unlink_reference_image,
        "influencers:write",
        "write",
    ),
    Route(
        "GET",
        "/v1/influencers/{influencerId}/events",
        history.get_events,
        "influencers:read",
        "read",
    ),
    Route(
        "POST", "/v1/projects/{projectId}/media", media_assets.upload_media, "media:write", "write"
    ),
    Route(
        "GET",
        "/v1/projects/{projectId}/media",
        media_assets.get_media_assets,
        "media:read",
        "read",
    ),
    Route(
        "POST",
        "/v1/projects/{projectId}/media/presign",
        uploads.presign_upload,
        "media:write",
        "write",
    ),
    Route(
        "POST",
        "/v1/projects/{projectId}/media/finalize",
        uploads.finalize_upload,
        "media:write",
        "write",
    ),
    Route("GET", "/v1/media/{assetId}", media_assets.get_media_asset, "media:read", "read"),
    Route(
        "POST",
        "/v1/projects/{projectId}/content",
        content.request_content,
        "content:write",
        "long",
    ),
    Route("GET", "/v1/jobs", job_list.get_jobs, "jobs:read", "read"),
    Route("GET", "/v1/jobs/{jobId}", jobs.get_job, "jobs:read", "read"),
    Route("GET", "/v1/jobs/{jobId}/events", event_stream.get_job_events, "jobs:read", "read"),
    Route("POST", "/v1/jobs/{jobId}/cancel", jobs.cancel_job, "jobs:cancel", "write"),
    Route("GET", "/v1/events", feed.get_feed, "events:read", "read"),
)


def build_application(api: Api) -> web.Application:
    application = web.Application(client_max_size=MAXIMUM_BODY)
    application.on_shutdown.append(partial(_let_go, api))
    for route in ROUTES:
        handle = _called(api, route)
        application.router.add_route(route.method, route.path, handle)
        if route.method == "GET":
            application.router.add_route("HEAD", route.path, handle)
    add_description(application.router)
    application.router.add_get("/media/{key:(?!uploads/).+}", partial(media.get_media, api))
    application.router.add_put("/media/uploads/{key:.+}", partial(uploads.put_upload, api))
    application.on_response_prepare.append(tell_limits)
    return application


async def _let_go(api: Api, _: web.Application) -> None:
    """Reads that wait and streams end before the server counts the seconds."""
    api.changes.stop()


def _called(api: Api, route: Route) -> Handle:
    async def handle(request: web.Request) -> web.StreamResponse:
        key, seat = await admit(api, request, route.scope, route.limit)
        try:
            call = Call(api, request, request[REQUEST_ID], key, seat, route.starts_job(request))
            await call.require_room()
            return await route.handler(call)
        finally:
            seat.leave()

    return handle


def answering(api: Api, handle: Handle) -> Handle:
    """`handle`, with an id for each request and the contract's answer to each fault."""

    async def answered(request: web.Request) -> web.StreamResponse:
        request_id = api.ids.new(Prefix.REQUEST)
        request[REQUEST_ID] = request_id
        try:
            if request.version < HttpVersion10:
                raise BadHttp()
            if request.method in READS:
                response = await _routed(api, handle, request)
            else:
                async with time_limit(request):
                    response = await _routed(api, handle, request)
        except Exception as fault:
            error = _translated(request, fault, request_id)
            return error_answer(error, request_id, problem=prefers(request, PROBLEM))
        response.headers["X-Request-Id"] = request_id
        return response

    return answered


async def _routed(api: Api, handle: Handle, request: web.Request) -> web.StreamResponse:
    try:
        return await handle(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        await admit_stray(api, request)
        raise


def _translated(request: web.Request, fault: Exception, request_id: str) -> ApiError:
    match fault:
        case Overloaded():  # counted; a line in the log for each would be more load
            return fault
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowed(request.method, list(fault.allowed_methods))
        case web.HTTPNotFound():
            return NotFound()
        case web.HTTPException():
            return BadHttp(fault.status)
    error = as_api_error(fault)
    if error is None:
        log.error("request_failed", request_id=request_id, path=request.path, exc_info=fault)
        return ApiError()
    if error.status >= 500:
        log.warning("request_unavailable", request_id=request_id, cause=str(fault))
    return error


def bad_http_answer(api: Api, status: int) -> web.Response:
    """What the HTTP server itself refuses, in the contract's shape; ends the connection."""
    error = BadHttp(status) if status < 500 else ApiError()
    response = error_answer(error, api.ids.new(Prefix.REQUEST), problem=False)
    response.force_close()
    return response
