"""Operations on content."""

from collections.abc import Mapping
from types import MappingProxyType

from schemas.faults import Instance
from schemas.rest import RequestContentBody
from services.api.openapi import examples
from services.api.openapi.influencers import accepted
from services.api.openapi.vocabulary import Operation, RequestBody

_NO_INFLUENCER = Instance(
    "Invalid body.",
    {"fieldErrors": {"influencerId": ["Not an influencer of this organization"]}},
)

OPERATIONS: Mapping[tuple[str, str], Operation] = MappingProxyType(
    {
        ("POST", "/v1/projects/{projectId}/content"): Operation(
            "requestContent",
            "Content",
            "Make a picture for a brief",
            "Starts a job that makes one picture of the influencer, with the brief as text on it;"
            " the picture becomes a media asset of the project. It may be asked for as soon as the"
            " influencer's own 202 is back: the job waits until the influencer is `ready`. Until it"
            " ends, its `stage` is `queued` and its `startedAt` null, also while the picture is"
            " made; `startedAt` is told with the picture. It fails with `INFLUENCER_FAILED` or"
            " `INFLUENCER_DELETED` when the influencer won't be ready.",
            (accepted("content_generate"),),
            RequestBody(
                RequestContentBody,
                {"a brief": {"influencerId": examples.INFLUENCER, "brief": examples.BRIEF}},
            ),
            examples_of_faults={"VALIDATION": {"unknown influencer": _NO_INFLUENCER}},
        ),
    }
)
