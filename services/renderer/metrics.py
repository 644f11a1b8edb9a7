"""What the renderer tells Prometheus."""

from prometheus_client import Counter, Gauge

JOBS = Counter("renderer_jobs_total", "Jobs that left this worker, by how.", ["outcome"])
QUEUE_DEPTH = Gauge("renderer_queue_entries", "Entries of the render queue.", ["status"])
EVENTS = Counter("renderer_events_total", "Events the ingest acted on, by what it did.", ["action"])
INGEST_LAG = Gauge("renderer_ingest_lag", "Events that wait to be looked at.")
INGEST_LAG_SECONDS = Gauge("renderer_ingest_lag_seconds", "Age of the oldest that waits.")
INGEST_STATE = Gauge("renderer_ingest_state", "1 for the state that the ingest is in.", ["state"])
