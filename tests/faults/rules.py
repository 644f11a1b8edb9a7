"""What the judges beside the checker may say is broken; each rule has a test that breaks it."""

RULES = frozenset(
    (
        # clients
        "answer-is-wrong",
        "error-of-the-server",
        "never-answered",
        "read-before-write",
        "repeated-answer-differs",
        "unavailable-without-retry-after",
        # readers
        "accepted-but-not-there",
        "ended-job-changed",
        "gone-and-back",
        "progress-fell",
        "read-went-back",
        # readers of the feed
        "feed-doubled",
        "feed-gap",
        "feed-incomplete",
        # after the faults
        "backlog-stays",
        "consumer-behind",
        "jobs-run-on",
        # the operator's commands
        "rebuild-differs",
        "verify-differs",
        # the round itself
        "client-failed",
        "scenario-failed",
        "grows",
    )
)


def broken(rule: str, subject: str, detail: object = "") -> str:
    """A violation as it is told, the rule first."""
    assert rule in RULES, rule
    return f"{rule} {subject}: {detail}"


def rule_of(violation: str) -> str:
    return violation.partition(" ")[0]
