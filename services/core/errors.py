"""Faults of the parts we stand on, translated where they enter."""


class DependencyUnavailable(Exception):
    """Postgres, Kafka or the object store does not answer; trying again later may help.

    `retry_after` is in seconds.
    """

    def __init__(self, dependency: str, reason: str, retry_after: int = 1) -> None:
        super().__init__(f"{dependency} is unavailable: {reason}")
        self.dependency = dependency
        self.reason = reason
        self.retry_after = retry_after
