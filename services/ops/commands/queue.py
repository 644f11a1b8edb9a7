"""`influencerctl queue`: the queues of renderer and content service."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from schemas.ids import Prefix
from services.ops.cancellation import Cancellation, cancel_job
from services.ops.connections import database
from services.ops.faults import ExitStatus, OperatorMistake
from services.ops.options import complete_jobs, complete_queued_jobs, identifier
from services.ops.settings import OperationsSettings, operations_settings
from services.ops.terminal import (
    DryRunOption,
    JsonOption,
    YesOption,
    answer_json,
    application,
    confirm,
    console,
    run,
    say,
    show,
)
from services.ops.work_queues import (
    STATES,
    QueueEntry,
    State,
    forget_set_aside,
    list_entries,
    retry_now,
)

queue_application = application(
    "The render queue, and that of content: jobs that wait for a worker or are worked on."
)

WIDE = 120
RETRIABLE = ("delayed", "unreadable")
_COLORS = {
    "due": "default",
    "delayed": "yellow",
    "held": "green",
    "silent": "red",
    "unreadable": "red",
}


def _complete_states(incomplete: str) -> list[str]:
    return [state for state in STATES if state.startswith(incomplete)]


QueuedJobs = Annotated[
    list[str], typer.Argument(metavar="JOB_ID", autocompletion=complete_queued_jobs)
]
RunningJobs = Annotated[list[str], typer.Argument(metavar="JOB_ID", autocompletion=complete_jobs)]


@queue_application.command("list")
def list_queue(
    state: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(STATES)}; repeatable.", autocompletion=_complete_states),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    json: JsonOption = False,
) -> None:
    """List the entries, oldest first: state, age, failed attempts, who holds the lease.

    due: a worker may take it. delayed: until its next attempt. held: a worker is at it. silent:
    its worker has not been heard of within the lease, and the next one takes it over. unreadable:
    no worker takes it, since none could read it, nor end its job.

    Example: influencerctl queue list --state delayed --state silent
    """
    states = [_known_state(text) for text in state or STATES]
    entries = run(_listed(operations_settings(), states, limit))
    if json:
        return answer_json({"entries": [entry.as_json() for entry in entries]})
    return _show(entries)


@queue_application.command("retry")
def retry(
    jobs: QueuedJobs,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Let a worker try delayed jobs now, not when their next attempt is due.

    Unreadable ones too: a newer version may know how to read them. Status 1 when a job is not in
    the queue. One that a worker holds, or may take, is left alone.

    Example: influencerctl queue retry job_01HXZ9G7KMV2QX8Y1S5RJW3B7T
    """
    job_ids = _job_ids(jobs)
    settings = operations_settings()
    entries = run(_entries(settings, job_ids))
    waiting = [
        job_id for job_id in job_ids if job_id in entries and entries[job_id].state in RETRIABLE
    ]
    if waiting and not dry_run:
        confirm(f"Try {_named(waiting)} now?", yes)
        run(_retried(settings, waiting))
    outcomes = [_retry_outcome(job_id, entries.get(job_id), dry_run) for job_id in job_ids]
    _tell(outcomes, dry_run, json)


@queue_application.command("cancel")
def cancel(
    jobs: RunningJobs,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Cancel jobs for good, as a client would: the entry goes once its worker has seen it.

    Any running job can be canceled, whether it is in the queue or not. Status 1 when one could not
    be: it has ended, or is about to.

    Example: influencerctl queue cancel job_01HXZ9G7KMV2QX8Y1S5RJW3B7T --dry-run
    """
    job_ids = _job_ids(jobs)
    if not dry_run:
        confirm(f"Cancel {_named(job_ids)} for good?", yes)
    canceled = run(_canceled(operations_settings(), job_ids, dry_run))
    words = "would be canceled" if dry_run else "canceled"
    _tell([(c.job_id, c.refusal is None, c.refusal or words) for c in canceled], dry_run, json)


async def _listed(
    settings: OperationsSettings, states: Sequence[State], limit: int
) -> list[QueueEntry]:
    async with database(settings.database) as connection:
        return await list_entries(
            connection, lease=settings.renderer_lease, states=states, limit=limit
        )


async def _entries(settings: OperationsSettings, job_ids: Sequence[str]) -> dict[str, QueueEntry]:
    async with database(settings.database) as connection:
        found = await list_entries(connection, lease=settings.renderer_lease, job_ids=job_ids)
    return {entry.job_id: entry for entry in found}


async def _retried(settings: OperationsSettings, job_ids: Sequence[str]) -> None:
    async with database(settings.database) as connection:
        await retry_now(connection, job_ids)


async def _canceled(
    settings: OperationsSettings, job_ids: Sequence[str], dry_run: bool
) -> list[Cancellation]:
    async with database(settings.database) as connection:
        canceled = [await cancel_job(connection, job_id, dry_run=dry_run) for job_id in job_ids]
        if not dry_run:
            ended = [one.job_id for one in canceled if one.refusal is None]
            await forget_set_aside(connection, ended)
        return canceled


Outcome = tuple[str, bool, str]
"""Of a job: whether all is well, and in words."""


def _retry_outcome(job_id: str, entry: QueueEntry | None, dry_run: bool) -> Outcome:
    match entry.state if entry else None:
        case None:
            return job_id, False, "not in the queue"
        case "delayed" | "unreadable":
            return job_id, True, "would be tried now" if dry_run else "tried now"
        case "due":
            return job_id, True, "may be taken already"
        case "held":
            return job_id, True, "worked on"
    return job_id, True, "taken over by the next worker that looks"


def _tell(outcomes: Sequence[Outcome], dry_run: bool, json: bool) -> None:
    if json:
        told = [{"jobId": job, "done": done, "says": says} for job, done, says in outcomes]
        answer_json({"dryRun": dry_run, "jobs": told})
    else:
        for job_id, _, says in outcomes:
            say(f"{job_id}: {says}")
    if not all(done for _, done, _ in outcomes):
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))


def _show(entries: Sequence[QueueEntry]) -> None:
    columns = {"jobId": "Job", "state": "State", "age": "Age", "attempts": "Failed"}
    if console().width >= WIDE:
        columns |= {"influencerId": "Influencer", "queue": "Queue"}
    show([_row(entry) for entry in entries], columns, whole=("jobId", "influencerId"))


def _row(entry: QueueEntry) -> dict[str, Any]:
    words: list[str] = [entry.state]
    if entry.due_in is not None:
        words.append(f", due in {entry.due_in:,.0f} s")
    if entry.worker is not None:
        words.append(f" by {entry.worker[:8]}, heard {entry.silent_for or 0:,.0f} s ago")
    return {
        **entry.as_json(),
        "state": Text("".join(words), _COLORS[entry.state]),
        "age": f"{entry.age:,.0f} s",
    }


def _known_state(text: str) -> State:
    for state in STATES:
        if state == text:
            return state
    raise OperatorMistake(f"there is no state {text!r}; the states are {', '.join(STATES)}")


def _job_ids(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(identifier(Prefix.JOB, text) for text in texts))


def _named(job_ids: Sequence[str]) -> str:
    return job_ids[0] if len(job_ids) == 1 else f"{len(job_ids)} jobs"
