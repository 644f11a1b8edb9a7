"""Operations on influencers."""

from collections.abc import Mapping
from types import MappingProxyType

from schemas.faults import Instance
from schemas.records import (
    AcceptedJob,
    DeletedInfluencer,
    EventPage,
    InfluencerPage,
    InfluencerRecord,
    ReferenceImages,
)
from schemas.rest import (
    CloneInfluencerBody,
    CreateInfluencerBody,
    DeleteInfluencerBody,
    EmptyBody,
    PatchInfluencerBody,
    ReferenceImagesBody,
)
from services.api.openapi import examples
from services.api.openapi.vocabulary import Link, Operation, Reply, RequestBody

PAGING = ("limit", "cursor")
READ = ("Private", "Vary")
LINKS_OF_JOB = MappingProxyType(
    {
        "job": Link("getJob", {"jobId": "$response.body#/jobId"}),
        "events": Link("getJobEvents", {"jobId": "$response.body#/jobId"}),
        "cancel": Link("cancelJob", {"jobId": "$response.body#/jobId"}),
        "influencer": Link("getInfluencer", {"influencerId": "$response.body#/influencerId"}),
        "deletion": Link("deleteInfluencer", {"influencerId": "$response.body#/influencerId"}),
    }
)
_SELF = {"influencerId": "$response.body#/influencerId"}
LINKS_OF_RECORD = MappingProxyType(
    {
        "influencer": Link("getInfluencer", _SELF),
        "update": Link("patchInfluencer", _SELF),
        "render": Link("renderInfluencer", _SELF),
        "clone": Link("cloneInfluencer", _SELF),
        "images": Link("linkReferenceImages", _SELF),
        "history": Link("getInfluencerEvents", _SELF),
        "deletion": Link("deleteInfluencer", _SELF),
    }
)


def accepted(kind: str, influencer_id: str = examples.INFLUENCER) -> Reply:
    return Reply(
        202,
        "The job runs; what it is about can be read at once.",
        AcceptedJob,
        {"accepted": examples.accepted(kind, influencer_id)},
        headers=("JobLocation", "RetryAfter", "NoStore", "Replayed"),
        links=LINKS_OF_JOB,
    )


_GENDERS = "Must be one of 'male', 'female', 'nonbinary' or 'unspecified'"
_ID_TAKEN = {"id taken": Instance("Influencer with this id already exists.")}
_JOB_RUNS = {
    "job running": Instance("A job of this influencer is running.", {"jobId": examples.JOB})
}
_WRONG_CREATE = {
    "wrong fields": Instance(
        "Invalid body.",
        {
            "fieldErrors": {
                "name": ["Required"],
                "hair_color": ["Unknown field"],
                "referenceImages.assetIds.0": ["Not a media asset of this project"],
            }
        },
    ),
    "wrong query": Instance("Invalid query.", {"fieldErrors": {"draft": ["Must be true"]}}),
}
_WRONG_PATCH = {
    "wrong field": Instance("Invalid body.", {"fieldErrors": {"gender": [_GENDERS]}}),
    "no field": Instance("Invalid body.", {"formErrors": ["At least one field is needed"]}),
}
_NOT_IMAGES = {
    "not an image": Instance("Invalid body.", {"fieldErrors": {"assetIds.1": ["Not an image"]}})
}
_IMAGES_CHANGED = Reply(
    200,
    "All reference images as they are now.",
    ReferenceImages,
    {"images": examples.REFERENCE_IMAGES},
    headers=("NoStore", "Replayed"),
    links={"influencer": Link("getInfluencer", _SELF)},
)

OPERATIONS: Mapping[tuple[str, str], Operation] = MappingProxyType(
    {
        ("POST", "/v1/projects/{projectId}/influencers"): Operation(
            "createInfluencer",
            "Influencers",
            "Create an influencer",
            "Starts a job that renders the influencer's reference images: it goes from `pending`"
            " through `training` to `ready` or `failed`. With `?draft=true` the influencer is"
            " described and nothing is rendered. An id that a client chooses is taken once in its"
            " organization, for ever.",
            (
                Reply(
                    201,
                    "The draft, with `?draft=true`.",
                    InfluencerRecord,
                    {"draft": examples.DRAFT_RECORD},
                    headers=("RecordLocation", "ETag", *READ, "Replayed"),
                    links=LINKS_OF_RECORD,
                ),
                accepted("influencer_create"),
            ),
            RequestBody(
                CreateInfluencerBody,
                {
                    "a name": {"name": "Ava Chen"},
                    "described": examples.DESCRIPTION,
                    "with an id and photos": {
                        **examples.DESCRIPTION,
                        "influencerId": examples.INFLUENCER,
                        "referenceImages": {"assetIds": [examples.ASSET]},
                    },
                },
            ),
            parameters=("draft",),
            faults=("CONFLICT",),
            examples_of_faults={"CONFLICT": _ID_TAKEN, "VALIDATION": _WRONG_CREATE},
        ),
        ("GET", "/v1/projects/{projectId}/influencers"): Operation(
            "listInfluencers",
            "Influencers",
            "List influencers",
            "The influencers of a project, newest first.",
            (
                Reply(
                    200,
                    "A page.",
                    InfluencerPage,
                    examples.pages(examples.ITEM),
                    headers=READ,
                    links={
                        "next": Link(
                            "listInfluencers",
                            {
                                "projectId": "$request.path.projectId",
                                "cursor": "$response.body#/nextCursor",
                            },
                        )
                    },
                ),
            ),
            parameters=("influencerStatus", *PAGING),
        ),
        ("GET", "/v1/influencers/{influencerId}"): Operation(
            "getInfluencer",
            "Influencers",
            "Get an influencer",
            "The record. `Prefer: wait` holds until it has changed, or is `ready` or `failed`.",
            (
                Reply(
                    200,
                    "The record.",
                    InfluencerRecord,
                    {"ready": examples.RECORD, "draft": examples.DRAFT_RECORD},
                    headers=("ETag", *READ, "PreferenceApplied"),
                    links=LINKS_OF_RECORD,
                ),
                Reply(
                    304,
                    "The record is as the client has it.",
                    headers=("ETag", *READ, "PreferenceApplied"),
                ),
            ),
            parameters=("minSequence", "If-None-Match", "Prefer"),
        ),
        ("PATCH", "/v1/influencers/{influencerId}"): Operation(
            "patchInfluencer",
            "Influencers",
            "Change an influencer",
            "Fields that are there change, null clears them (not `name`); `personality` merges key"
            " by key. Nothing is rendered: that is for `render`.",
            (
                Reply(
                    200,
                    "The record, the change already in it.",
                    InfluencerRecord,
                    {"changed": examples.CHANGED_RECORD},
                    headers=("ETag", *READ, "Replayed"),
                    links=LINKS_OF_RECORD,
                ),
            ),
            RequestBody(
                PatchInfluencerBody,
                {
                    "change and clear": {"hairColor": "copper", "vibe": None},
                    "merge": {"personality": {"humor": "warm", "tone": None}},
                },
            ),
            parameters=("If-Match",),
            faults=("PRECONDITION_FAILED",),
            examples_of_faults={"VALIDATION": _WRONG_PATCH},
        ),
        ("DELETE", "/v1/influencers/{influencerId}"): Operation(
            "deleteInfluencer",
            "Influencers",
            "Delete an influencer",
            "From then on it is found nowhere, and its running job is canceled. Its id stays"
            " taken.",
            (
                Reply(
                    200,
                    "Deleted.",
                    DeletedInfluencer,
                    {"deleted": examples.DELETED},
                    headers=("NoStore", "Replayed"),
                ),
            ),
            RequestBody(
                DeleteInfluencerBody,
                {"with a reason": {"reason": "The campaign is over."}, "without": {}},
                required=False,
            ),
            parameters=("If-Match",),
            faults=("PRECONDITION_FAILED",),
        ),
        ("POST", "/v1/influencers/{influencerId}/clone"): Operation(
            "cloneInfluencer",
            "Influencers",
            "Clone an influencer",
            "A new influencer with the same face, description and uploaded reference images, less"
            " what `overrides` changes.",
            (accepted("influencer_clone", examples.CLONE),),
            RequestBody(
                CloneInfluencerBody,
                {
                    "a name": {"name": "Mia Chen"},
                    "changed": {"name": "Mia Chen", "overrides": {"vibe": "calm and precise"}},
                },
            ),
            faults=("CONFLICT",),
            examples_of_faults={"CONFLICT": _ID_TAKEN},
        ),
        ("POST", "/v1/influencers/{influencerId}/render"): Operation(
            "renderInfluencer",
            "Influencers",
            "Render an influencer anew",
            "After a change, after `failed`, or for a `draft`. The old images stay until the new"
            " ones are complete.",
            (accepted("influencer_render"),),
            RequestBody(EmptyBody, {"nothing": {}}, required=False),
            faults=("CONFLICT",),
            examples_of_faults={"CONFLICT": _JOB_RUNS},
        ),
        ("POST", "/v1/influencers/{influencerId}/reference-images"): Operation(
            "linkReferenceImages",
            "Influencers",
            "Link uploaded images",
            "Images that are linked already are skipped, ids of other projects drop out in"
            " silence.",
            (_IMAGES_CHANGED,),
            RequestBody(ReferenceImagesBody, {"one": {"assetIds": [examples.ASSET]}}),
            examples_of_faults={"VALIDATION": _NOT_IMAGES},
        ),
        ("DELETE", "/v1/influencers/{influencerId}/reference-images/{assetId}"): Operation(
            "unlinkReferenceImage",
            "Influencers",
            "Unlink a reference image",
            "The influencer no longer has the image; the media asset stays.",
            (_IMAGES_CHANGED,),
            RequestBody(EmptyBody, {"nothing": {}}, required=False),
        ),
        ("GET", "/v1/influencers/{influencerId}/events"): Operation(
            "getInfluencerEvents",
            "Influencers",
            "Read an influencer's history",
            "All that happened to it, oldest first.",
            (
                Reply(
                    200,
                    "A page.",
                    EventPage,
                    examples.pages(examples.HISTORY_EVENT),
                    headers=READ,
                    links={
                        "next": Link(
                            "getInfluencerEvents",
                            {
                                "influencerId": "$request.path.influencerId",
                                "cursor": "$response.body#/nextCursor",
                            },
                        )
                    },
                ),
            ),
            parameters=PAGING,
        ),
    }
)
