"""What the content service tells Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

JOBS = Counter("content_jobs_total", "Jobs that left this worker, by how.", ["outcome"])
QUEUE_DEPTH = Gauge("content_queue_entries", "Entries of the content queue.", ["status"])
EVENTS_BEHIND = Gauge(
    "content_events_behind", "Events that are not handled yet.", ["topic", "partition"]
)
LAG_SECONDS = Gauge("content_lag_seconds", "Age of the oldest event that waits to be handled.")
PARKED_STREAMS = Gauge("content_parked_streams", "Streams that are parked now.")
STATE = Gauge("content_state", "1 for the state that the subscriber is in.", ["state"])
PICKUP_SECONDS = Histogram(
    "content_pickup_seconds",
    "Seconds from the event that a job waited for until a worker had the job.",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 60),
)
