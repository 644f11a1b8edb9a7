"""The organization's events."""

import json
from collections.abc import Mapping
from types import MappingProxyType

from schemas.records import EventFeed
from services.api.openapi import examples
from services.api.openapi.influencers import READ
from services.api.openapi.vocabulary import Link, Operation, Reply

_STREAM = f"""retry: 3000

id: {examples.CURSOR}

id: {examples.FEED_CURSOR}
event: {examples.CLOUD_EVENT["type"]}
data: {json.dumps(examples.CLOUD_EVENT)}

"""

OPERATIONS: Mapping[tuple[str, str], Operation] = MappingProxyType(
    {
        ("GET", "/v1/events"): Operation(
            "listEvents",
            "Events",
            "Follow the organization's events",
            "Every event of the organization, exactly as on the log, oldest first: of one"
            " influencer, asset or content in the order of `sequence`, without a gap; between"
            " them roughly by time. The feed has no end: `nextCursor` is always there, stays"
            " valid for ever, and may be used with another filter. While `hasMore`, ask on at"
            " once, also after a page without items, which a narrow filter may give; then with"
            " `Prefer: wait`. With `Accept: text/event-stream` events come as they happen, each"
            " with the cursor behind it as `id`.",
            (
                Reply(
                    200,
                    "A page, or the stream. A comment line every 15 s keeps that open.",
                    EventFeed,
                    {
                        "a page": examples.EVENT_FEED,
                        "nothing yet": {**examples.EVENT_FEED, "items": []},
                    },
                    headers=(*READ, "PreferenceApplied"),
                    links={"next": Link("listEvents", {"after": "$response.body#/nextCursor"})},
                    stream=_STREAM,
                ),
            ),
            parameters=("after", "types", "feedProjectId", "limit", "feedPrefer", "lastCursor"),
        ),
    }
)
