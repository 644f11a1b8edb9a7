"""For a rebuild of one model: the others are taken as they are on the live side.

The fold needs all of them, so all are built. Then the others are copied over from one snapshot of
the live side, in which both sides are at the same position; where the append has moved live rows
ahead of that, the one model's rows go along, or a job and its influencer would not fit together.
"""

from services.core.postgres import Connection
from services.core.readmodel.positions import positions_of
from services.core.readmodel.rebuild.models import MODELS, Model
from services.core.readmodel.rebuild.swapping import CatchUp
from services.core.readmodel.schema import LIVE

CARRY_AHEAD = """
    delete from {schema}.{model} n using {live_schema}.{model} l
    where {same_key} and {next} < {live};
    insert into {schema}.{model} select l.* from {live_schema}.{model} l
    left join {schema}.{model} n on {same_key} where {absent}
"""


class QuarantineNotEmpty(Exception):
    """Streams in quarantine are not at one position in all models."""

    def __init__(self) -> None:
        super().__init__(
            "one model can't be rebuilt while streams are in quarantine: rebuild all of them, or"
            " empty the quarantine first"
        )


async def require_empty_quarantine(connection: Connection, *schemas: str) -> None:
    """Raises QuarantineNotEmpty."""
    for schema in schemas:
        parked = f"select from {schema}.quarantine where not repeated"
        if await connection.fetchval(f"select exists ({parked})"):
            raise QuarantineNotEmpty


async def is_merged(connection: Connection, rebuild_id: int) -> bool:
    return bool(
        await connection.fetchval(
            "select exists (select from control.rebuild_merges where rebuild_id = $1)", rebuild_id
        )
    )


async def merge(
    connection: Connection,
    other: Connection,
    schema: str,
    only: str,
    rebuild_id: int,
    catch_up: CatchUp,
) -> None:
    """Replaces all models of `schema` but `only`. `other` is a second connection.

    Raises QuarantineNotEmpty.
    """
    async with connection.transaction(isolation="repeatable_read"):
        async with other.transaction():
            # The projector waits until both sides are at one position, seen in one snapshot.
            await other.execute(f"lock table {LIVE}.projection_offsets in exclusive mode")
            await catch_up(await positions_of(other, LIVE))
            await require_empty_quarantine(connection, LIVE, schema)
        for model in MODELS.values():
            if model.name != only:
                await connection.execute(f"truncate {schema}.{model.name}")
                await connection.execute(
                    f"insert into {schema}.{model.name} select * from {LIVE}.{model.name}"
                )
        if MODELS[only].is_versioned:
            await connection.execute(_carry_ahead(MODELS[only], schema))
        await connection.execute("insert into control.rebuild_merges values ($1)", rebuild_id)


def _carry_ahead(model: Model, schema: str) -> str:
    return CARRY_AHEAD.format(
        model=model.name,
        schema=schema,
        live_schema=LIVE,
        same_key=model.same_key("l", "n"),
        live=f"({model.version('l')})",
        next=f"({model.version('n')})",
        absent=model.is_absent("n"),
    )
