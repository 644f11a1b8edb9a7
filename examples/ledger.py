"""A subscriber in twenty lines: keeps every name that an influencer had, each exactly once."""

import os
import sqlite3

from schemas.events import InfluencerCreateRequested, InfluencerDrafted, InfluencerUpdated
from services.core.subscriber import Received, SqliteStore, Subscriber

env = os.environ.get
store = SqliteStore(f"{env('SUBSCRIBER_STATE', '.')}/ledger.db")
store.connection.execute("create table if not exists names (event_id, stream, sequence, name)")
group, prefix = env("SUBSCRIBER_GROUP", "ledger"), env("KAFKA_TOPIC_PREFIX", "")
instance = env("SUBSCRIBER_INSTANCE") or None
servers = env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
subscriber = Subscriber(group, servers, store, topic_prefix=prefix, instance=instance)
Begun = InfluencerDrafted | InfluencerCreateRequested


@subscriber.on(InfluencerDrafted, InfluencerCreateRequested)
async def begun(event: Received[Begun], db: sqlite3.Connection) -> None:
    row = (event.id, event.stream.key, event.sequence, event.data.profile.name)
    db.execute("insert into names values (?, ?, ?, ?)", row)


@subscriber.on(InfluencerUpdated)
async def updated(event: Received[InfluencerUpdated], db: sqlite3.Connection) -> None:
    if name := event.data.changes.get("name"):
        row = (event.id, event.stream.key, event.sequence, name)
        db.execute("insert into names values (?, ?, ?, ?)", row)


if __name__ == "__main__":
    subscriber.run_until_signal()
