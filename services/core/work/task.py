"""What an entry of a queue says, and what is left of one that can't be read."""

from typing import Any, ClassVar, TypeVar, cast

import orjson

from schemas.base import WireModel


class Task(WireModel):
    """Which job, whose, and, in a subclass, what is needed to do it.

    `identifiers` are the fields without which the job can't even be ended.
    """

    identifiers: ClassVar[tuple[str, ...]] = ("job_id", "organization_id")

    job_id: str
    organization_id: str


AnyTask = TypeVar("AnyTask", bound=Task)


def remains_of(task_type: type[AnyTask], payload: bytes) -> AnyTask | None:
    """A task with what can be read of it, enough to end its job; None when that can't be told."""
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(said, dict):
        return None
    texts: dict[str, Any] = {
        name: text if isinstance(text := said.get(field.alias or name), str) else ""
        for name, field in task_type.model_fields.items()
        if field.is_required()
    }
    if not all(texts[name] for name in task_type.identifiers):
        return None
    return cast(AnyTask, task_type.model_construct(None, **texts))
