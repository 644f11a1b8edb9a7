"""Values the unit tests are told with: one influencer, its jobs, its images."""

from schemas.images import ReferenceImage
from schemas.jobs import JobError
from schemas.profile import Personality, Profile

ORGANIZATION_ID = "0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a01"
PROJECT_ID = "5c1c8a52-2f5e-4e0b-9d75-0d2f3c4b5a02"
INFLUENCER_ID = "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T"
OTHER_INFLUENCER_ID = "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7V"
JOB_ID = "job_01HXZ9G7KMV2QX8Y1S5RJW3B01"
SECOND_JOB_ID = "job_01HXZ9G7KMV2QX8Y1S5RJW3B02"
KEY_ID = "key_01HXZ9G7KMV2QX8Y1S5RJW3B7T"
TIME = "2026-11-23T09:15:02.118Z"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
VIEWS = ("portrait", "smiling")

PROFILE = Profile(
    name="Ava Chen",
    gender="female",
    style="minimalist streetwear",
    personality=Personality(traits=("curious", "warm"), tone="conversational"),
)
ERROR = JobError(code="RENDER_BACKEND_ERROR", message="The backend gave up.", retryable=True)


def job_id(number: int) -> str:
    return f"job_{number:026d}"


def asset_id(number: int) -> str:
    return f"ast_{number:026d}"


def rendered(number: int, view: str = "portrait") -> ReferenceImage:
    return _image(number).model_copy(update={"view": view})


def uploaded(number: int) -> ReferenceImage:
    return _image(number).model_copy(update={"source": "uploaded"})


def _image(number: int) -> ReferenceImage:
    return ReferenceImage(
        asset_id=asset_id(number),
        url=f"/v1/media/{asset_id(number)}/bytes",
        thumbnail_url=f"/v1/media/{asset_id(number)}/thumbnail",
        source="rendered",
        width=1024,
        height=1024,
        added_at=TIME,
        mime_type="image/png",
        size_bytes=1000 + number,
        sha256=f"{number:064x}",
    )
