"""A relay alone in a process, to be broken: `python -m … DATABASE_URL BOOTSTRAP PREFIX`."""

import asyncio
import os
import sys

from services.core.eventlog.relay import LEADER_IDLE_LIMIT, ShardRelay
from services.core.eventlog.topics import TopicNames

if __name__ == "__main__":
    idle_limit = os.environ.get("IDLE_LIMIT", LEADER_IDLE_LIMIT)
    topics = TopicNames(sys.argv[3])
    asyncio.run(ShardRelay(sys.argv[1], sys.argv[2], topics, idle_limit=idle_limit).run())
