"""Projectors that lose, overwrite or change rows, or let their position go back."""

from typing import Any

from services.core.failpoints import fail_point
from tests.faults.mutants.parts import module


def projector_moves_its_position_first() -> None:
    """Killed in between, it never writes those rows."""
    project = module("services.core.readmodel.project")

    async def commit(
        connection: Any, batch: Any, changes: Any, rows: Any, schema: str, *, copied: bool, **_: Any
    ) -> None:
        async with connection.transaction():
            await project.advance_positions(connection, batch.moves, schema)
        fail_point("mutant.between")
        async with connection.transaction():
            await project.write(connection, rows, copied=copied, schema=schema)

    project._commit = commit


def projector_overwrites_newer_rows() -> None:
    """A row that the append has moved on goes back for a moment."""
    project = module("services.core.readmodel.project")
    store = module("services.core.readmodel.store")
    store.WRITE = store.WRITE.replace("where influencers.sequence < excluded.sequence", "")
    store.WRITE = store.WRITE.replace("where jobs.sequence < excluded.sequence", "")

    async def from_nothing(connection: Any, keys: Any, schema: str = "read_model") -> Any:
        return {}

    project.find_states = from_nothing  # it knows only what it has folded itself


def projector_does_not_compare_positions() -> None:
    """One that was stopped before a commit, and has a successor, moves the position back."""
    project = module("services.core.readmodel.project")
    positions = module("services.core.readmodel.positions")
    positions.ADVANCE = positions.ADVANCE.replace("and h.next_offset = m.expected", "")
    commit = project._commit

    async def commit_late(*rest: Any, **more: Any) -> None:
        fail_point("mutant.before")
        await commit(*rest, **more)
        fail_point("mutant.after")

    project._commit = commit_late


def projector_changes_rows() -> None:
    """What it writes is not what the log says."""
    project = module("services.core.readmodel.project")
    write = project.write

    async def write_changed(connection: Any, rows: Any, *, copied: bool, schema: str) -> Any:
        there = await write(connection, rows, copied=copied, schema=schema)
        await connection.execute(
            """update read_model.influencers
               set state = jsonb_set(state, '{profile,vibe}', '"nervous"')"""
        )
        return there

    project.write = write_changed


PROJECTORS = (
    projector_moves_its_position_first,
    projector_overwrites_newer_rows,
    projector_does_not_compare_positions,
    projector_changes_rows,
)
