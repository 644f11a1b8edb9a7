"""Renderers that forget a job, go on with one that has ended, or store other pictures."""

from collections.abc import Callable
from typing import Any

from tests.faults.mutants.parts import CHANCE, module


def cancel_is_not_final() -> None:
    """The renderer goes on with a job that was canceled."""
    append = module("services.core.eventlog.append")
    postgres = module("services.core.postgres")
    decide = module("services.core.domain.decide")
    evolve = module("services.core.domain.evolve")
    job_runner = module("services.renderer.job_runner")
    worker = module("services.core.work.worker")

    def job_of(state: Any, job_id: str) -> Any:
        return state.job

    def running(state: Any, event: Any, job_id: str) -> Any:
        return state.influencer, state.job

    async def find(self: Any, task: Any) -> Any:
        async with postgres.acquire(self.pool) as connection:
            state = await append.find_stream(connection, task.organization_id, task.influencer_id)
        assert state is not None
        return state.influencer, state.job

    def cancel(self: Any, job_id: str) -> None:
        return

    worker.Worker.cancel = cancel
    decide._require_running_job = job_of
    evolve._running = running
    job_runner.JobRunner._find = find


def ingest_drops_some() -> None:
    """Some requests are read and never queued."""
    ingest = module("services.renderer.ingest")
    act = ingest.Ingest._act

    async def act_mostly(self: Any, event: Any) -> None:
        if CHANCE.random() > 0.3:
            await act(self, event)

    ingest.Ingest._act = act_mostly


def images_are_named_and_not_stored() -> None:
    """The event names bytes that nobody has."""
    _with_put(lambda content: None)


def images_are_stored_broken() -> None:
    """The bytes are not those that the event names."""
    _with_put(lambda content: content[:-1] + b"?")


def _with_put(changed: Callable[[bytes], bytes | None]) -> None:
    store = module("services.core.storage.store")
    put = store.FolderObjectStore.put

    async def put_changed(self: Any, key: str, content: bytes, content_type: str) -> None:
        broken = changed(content)
        if broken is not None:
            await put(self, key, broken, content_type)

    store.FolderObjectStore.put = put_changed


def reader_commits_nothing() -> None:
    """Its consumer group stays where it was."""
    application = module("services.renderer.faust_application")

    async def commit(self: Any, *_: object, **__: object) -> bool:
        return False

    application._ReadCommittedConsumer.commit = commit


RENDERERS = (
    cancel_is_not_final,
    ingest_drops_some,
    images_are_named_and_not_stored,
    images_are_stored_broken,
    reader_commits_nothing,
)
