"""Apis that accept, refuse or answer otherwise than they do."""

from dataclasses import replace
from typing import Any

from tests.faults.mutants.parts import CHANCE, module

LEAKED: list[bytes] = []


def append_without_the_lock() -> None:
    """Two appends to a stream decide on the same state."""
    append = module("services.core.eventlog.append")
    append.LOCK_STREAMS = append.LOCK_STREAMS.replace("for update of s", "")
    append.WRITE = append.WRITE.replace("and s.sequence = i.found_at", "")


def append_answers_and_forgets() -> None:
    """Now and then a request is accepted and nothing is written."""
    group_commit = module("services.core.eventlog.group_commit")
    plan = module("services.core.eventlog.plan")
    append = group_commit.append_batch

    async def append_mostly(connection: Any, requests: Any, **settings: Any) -> Any:
        creates = all(type(r.command).__name__ == "CreateInfluencer" for r in requests)
        if creates and CHANCE.random() < 0.2:
            return plan.plan_batch(requests, {}, {}, settings["clock"], settings["ids"]).outcomes
        return await append(connection, requests, **settings)

    group_commit.append_batch = append_mostly


def idempotency_keys_are_forgotten() -> None:
    """The same request again is another request."""
    append = module("services.core.eventlog.append")
    plan = module("services.core.eventlog.plan")

    def forget(*_: object) -> None:
        return None

    plan._replay = forget
    append.WRITE = append.WRITE.replace("where k.created_at <= now() - interval '24 hours'", "")


def pending_rows_are_not_written() -> None:
    """Whoever reads right after the 202 does not find it."""
    append = module("services.core.eventlog.append")
    append.WRITE = append.WRITE.replace("where $22", "where $22 and false")


def refusals_leave_something() -> None:
    """What is stale is refused, and done all the same."""
    errors = module("services.api.errors")
    call = module("services.api.calls").Call
    append = call.append

    async def append_and_refuse(self: Any, command: Any, *rest: Any, **more: Any) -> Any:
        if "If-Match" not in self.request.headers:
            return await append(self, command, *rest, **more)
        await append(self, replace(command, expected_sequence=None), *rest, **more)
        raise errors.PreconditionFailed()

    call.append = append_and_refuse


def unavailable_without_retry_after() -> None:
    """Now and then 503, and nobody knows for how long."""
    errors = module("services.api.errors")
    _raise_now_and_then(
        type("Silent", (errors.Unavailable,), {"__init__": errors.ApiError.__init__})
    )


def errors_get_out() -> None:
    """Now and then a bug."""
    _raise_now_and_then(lambda: RuntimeError("a bug"))


def _raise_now_and_then(make: Any) -> None:
    call = module("services.api.calls").Call
    append = call.append

    async def append_mostly(self: Any, *rest: Any, **more: Any) -> Any:
        if CHANCE.random() < 0.1:
            raise make()
        return await append(self, *rest, **more)

    call.append = append_mostly


def progress_falls() -> None:
    """Whoever looks twice may see less the second time."""
    state = module("services.core.domain.state")
    state.Job.progress = property(lambda self: round(CHANCE.random(), 2))


def feed_leaves_events_out() -> None:
    """A reader of the feed misses some."""
    feed = module("services.api.feed")
    events = feed._events

    def most_events(*rest: Any) -> Any:
        return (event for event in events(*rest) if CHANCE.random() > 0.05)

    feed._events = most_events


def requests_leak() -> None:
    """Each leaves a little that nobody lets go of."""
    call = module("services.api.calls").Call
    append = call.append

    async def append_and_leak(self: Any, *rest: Any, **more: Any) -> Any:
        LEAKED.append(CHANCE.randbytes(512 * 1024))
        return await append(self, *rest, **more)

    call.append = append_and_leak


APIS = (
    append_without_the_lock,
    append_answers_and_forgets,
    idempotency_keys_are_forgotten,
    pending_rows_are_not_written,
    refusals_leave_something,
    unavailable_without_retry_after,
    errors_get_out,
    progress_falls,
    feed_leaves_events_out,
    requests_leak,
)
