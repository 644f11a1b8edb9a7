"""The read models as a rebuild compares and carries them: what names a row, and its version."""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Model:
    """`key` maps columns to their types. A row of a `versioned` model may be ahead of the log: the
    append writes it; `sequence` and `stream` are SQL of a row's version and of its stream's id."""

    name: str
    key: dict[str, str]
    sequence: str = ""
    stream: str = ""
    ignored: tuple[str, ...] = ()

    @property
    def is_versioned(self) -> bool:
        return bool(self.sequence)

    def key_of(self, *rows: str) -> str:
        """The key of a row as an array of text; the first of `rows` that is there has it."""
        columns = (
            f"coalesce({', '.join(f'{row}.{column}::text' for row in rows)})" for column in self.key
        )
        return f"array[{', '.join(columns)}]"

    def same_key(self, one: str, other: str) -> str:
        return " and ".join(f"{one}.{column} = {other}.{column}" for column in self.key)

    def has_key(self, row: str, key: str) -> str:
        """Whether `row` is the one that the array `key` names, in a way that finds it by index."""
        return " and ".join(
            f"{row}.{column} = ({key})[{place}]::{kind}"
            for place, (column, kind) in enumerate(self.key.items(), start=1)
        )

    def is_absent(self, row: str) -> str:
        return f"{row}.{next(iter(self.key))} is null"

    def version(self, row: str) -> str:
        """0 for a row that is not there."""
        version = self.sequence.format(row=row)
        return f"case when {self.is_absent(row)} then 0 else {version} end"

    def stream_key(self, *rows: str) -> str:
        parts = (f"coalesce({', '.join(f'{row}.{column}' for row in rows)})"
                 for column in ("organization_id", self.stream))  # fmt: skip
        return "::text || '/' || ".join(parts)


INFLUENCERS = Model(
    "influencers",
    {"organization_id": "uuid", "influencer_id": "text"},
    sequence="{row}.sequence",
    stream="influencer_id",
)
JOBS = Model("jobs", {"job_id": "text"}, sequence="{row}.sequence", stream="stream_id")
MEDIA_ASSETS = Model(
    "media_assets",
    {"organization_id": "uuid", "asset_id": "text"},
    sequence="1",
    stream="asset_id",
)
EVENTS = Model("events", {"organization_id": "uuid", "stream_id": "text", "sequence": "bigint"})
QUARANTINE = Model(
    "quarantine",
    {"topic": "text", "partition": "int", "record_offset": "bigint"},
    ignored=("quarantined_at",),
)

MODELS = MappingProxyType(
    {model.name: model for model in (INFLUENCERS, JOBS, MEDIA_ASSETS, EVENTS, QUARANTINE)}
)
"""In the order in which writers lock them."""

VERSIONED = tuple(model for model in MODELS.values() if model.is_versioned)
REBUILDABLE = ("influencers", "jobs", "events", "media_assets")
