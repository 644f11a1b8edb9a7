"""Where read models are: the live ones in one Postgres schema, those that are rebuilt in another.

Statements name the live schema; whoever works on another one asks for them `in_schema`.
"""

import re
from functools import cache

LIVE = "read_model"
NEXT = "read_model_next"
"""Being rebuilt; it becomes the live one."""
PREVIOUS = "read_model_previous"
"""What was live before the last rebuild; it can become live again."""

_LIVE_NAME = re.compile(rf"\b{LIVE}\.")


@cache
def in_schema(statement: str, schema: str) -> str:
    """`statement`, which names the live tables, on those of `schema`."""
    return statement if schema == LIVE else _LIVE_NAME.sub(f"{schema}.", statement)
