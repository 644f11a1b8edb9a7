"""Durable work: a queue of jobs in Postgres, and workers that never lose one."""
