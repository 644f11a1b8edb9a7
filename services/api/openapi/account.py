"""Operations on what a key belongs to."""

from collections.abc import Mapping
from types import MappingProxyType

from schemas.records import KeyRecord, ProjectPage, ProjectRecord
from services.api.openapi import examples
from services.api.openapi.influencers import PAGING, READ
from services.api.openapi.vocabulary import Link, Operation, Reply

_PROJECT = {"projectId": "$response.body#/items/0/projectId"}

OPERATIONS: Mapping[tuple[str, str], Operation] = MappingProxyType(
    {
        ("GET", "/v1/whoami"): Operation(
            "getWhoami",
            "Account",
            "Tell who is calling",
            "The organization of the key, and what the key allows.",
            (Reply(200, "The key.", KeyRecord, {"a key": examples.KEY}, headers=READ),),
        ),
        ("GET", "/v1/projects"): Operation(
            "listProjects",
            "Account",
            "List projects",
            "The organization's projects, newest first.",
            (
                Reply(
                    200,
                    "A page.",
                    ProjectPage,
                    examples.pages(examples.PROJECT_RECORD),
                    headers=READ,
                    links={
                        "project": Link("getProject", _PROJECT),
                        "influencers": Link("listInfluencers", _PROJECT),
                        "creation": Link("createInfluencer", _PROJECT),
                        "media": Link("listMedia", _PROJECT),
                        "upload": Link("uploadMedia", _PROJECT),
                    },
                ),
            ),
            parameters=PAGING,
        ),
        ("GET", "/v1/projects/{projectId}"): Operation(
            "getProject",
            "Account",
            "Get a project",
            "One project of the organization.",
            (
                Reply(
                    200,
                    "The project.",
                    ProjectRecord,
                    {"a project": examples.PROJECT_RECORD},
                    headers=READ,
                ),
            ),
        ),
    }
)
