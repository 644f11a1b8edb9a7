"""Influencers: create, get, list."""

from functools import partial
from typing import get_args

from aiohttp import web

from schemas.ids import Prefix
from schemas.images import ReferenceImage
from schemas.jobs import InfluencerStatus
from schemas.profile import Profile
from schemas.rest import CreateInfluencerBody
from services.api.answers import READ_HEADERS, answer, json_body, read_answer
from services.api.calls import Call
from services.api.changes import Subject
from services.api.errors import FieldErrors, Invalid
from services.api.freshness import reached
from services.api.lookups import influencer_of, uploaded_images
from services.api.outcomes import job_accepted, record_created
from services.api.preferences import Patience, acknowledge, held
from services.api.queries import InfluencerRecord, list_influencers, position_of_influencer
from services.api.records import influencer_item, influencer_record
from services.core.domain.commands import CreateInfluencer, DraftInfluencer
from services.core.domain.state import Influencer

STATUSES = tuple(status for status in get_args(InfluencerStatus) if status != "deleted")


async def create_influencer(call: Call) -> web.Response:
    """With `?draft=true` the record alone; else with a job that renders it."""
    project_id = await call.project_id()
    body = await call.body()
    _require_valid_query(call.request)
    named = body.named("referenceImages.assetIds", Prefix.ASSET)
    seeds = await uploaded_images(call, project_id, named)
    wanted = body.as_model(CreateInfluencerBody, {**seeds.not_there, **seeds.not_images})
    draft = _draft(call, project_id, wanted, tuple(seeds.images.values()))
    path = call.canonical_path()
    is_fresh = wanted.influencer_id is None
    if is_draft(call.request):
        created = record_created(call.api.urls)
        return await call.append(draft, path, body.marked("draft"), created, is_fresh=is_fresh)
    create = _with_job(draft, call.api.ids.new(Prefix.JOB))
    return await call.append(create, path, body, job_accepted, is_fresh=is_fresh)


def is_draft(request: web.Request) -> bool:
    return request.query.getall("draft", []) == ["true"]


def _require_valid_query(request: web.Request) -> None:
    if "draft" in request.query and not is_draft(request):
        raise Invalid(fields={"draft": ["Must be true"]}, message="Invalid query.")


def _draft(
    call: Call,
    project_id: str,
    wanted: CreateInfluencerBody,
    seeds: tuple[ReferenceImage, ...],
) -> DraftInfluencer:
    return DraftInfluencer(
        organization_id=call.organization_id,
        influencer_id=wanted.influencer_id or call.api.ids.new(Prefix.INFLUENCER),
        project_id=project_id,
        profile=Profile.model_validate(wanted.model_dump(by_alias=True)),
        reference_images=seeds,
    )


def _with_job(draft: DraftInfluencer, job_id: str) -> CreateInfluencer:
    return CreateInfluencer(
        organization_id=draft.organization_id,
        influencer_id=draft.influencer_id,
        project_id=draft.project_id,
        job_id=job_id,
        profile=draft.profile,
        reference_images=draft.reference_images,
    )


async def get_influencer(call: Call) -> web.Response:
    heard, find = call.api.changes.heard, partial(influencer_of, call)
    found = await held(call, await reached(call, find, _subject), heard, find, _patience)
    record = influencer_record(found.influencer, found.sequence, call.api.urls)
    response = read_answer(call.request, record, etag=_etag(found))
    return acknowledge(call.request, response)


def _subject(found: InfluencerRecord) -> Subject:
    influencer = found.influencer
    return Subject("influencer", influencer.organization_id, influencer.influencer_id)


def _patience(found: InfluencerRecord) -> Patience:
    is_settled = found.influencer.status in ("ready", "failed")
    return Patience(_subject(found), _etag(found), is_settled)


def _etag(found: InfluencerRecord) -> str:
    return f'"{found.sequence}"'


async def get_influencers(call: Call) -> web.Response:
    project_id = await call.project_id()
    status = call.request.query.get("status")
    list_filter = f"influencers/{call.organization_id}/{project_id}/{status}"
    asked = call.api.paginator.requested(call.request, list_filter, _faults_of_status(status))
    async with call.reading() as connection:
        rows = await list_influencers(connection, call.organization_id, project_id, status, asked)
    page = call.api.paginator.page(
        rows,
        asked,
        list_filter,
        item=lambda row: influencer_item(
            Influencer.model_validate_json(row["state"]), call.api.urls
        ),
        position=position_of_influencer,
    )
    return answer(json_body(page), headers=READ_HEADERS)


def _faults_of_status(status: str | None) -> FieldErrors:
    if status is None or status in STATUSES:
        return {}
    return {"status": [f"Must be one of {', '.join(STATUSES)}"]}
