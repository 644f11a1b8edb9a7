"""The local stack: real Postgres and real Kafka as child processes, from packages."""
