"""`python -m services.core.subscriber.conformance`."""

import argparse
import asyncio
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aiokafka.errors import KafkaError

from .process import Program
from .scenarios import SCENARIOS, Scenario
from .suite import PATIENCE, Outcome, run_suite
from .under_test import Guarantee

FINE = 0
NOT_CONFORMING = 1
USAGE = 2
DEPENDENCY_DOWN = 3

DESCRIPTION = """\
Runs a subscriber against logs as it may meet them, and says which promises it keeps.

COMMAND is started, stopped (SIGTERM) and killed (SIGKILL) by the suite. Its environment says
  KAFKA_BOOTSTRAP_SERVERS, KAFKA_TOPIC_PREFIX   where to read: <prefix>influencer.events.v1, ...
  SUBSCRIBER_GROUP                              the consumer group to join
  SUBSCRIBER_INSTANCE                           its group.instance.id; empty: none
  SUBSCRIBER_STATE                              a folder that outlives the process
  SUBSCRIBER_EFFECTS                            a file to append a line to for each event applied:
      {"id": "<ce_id>", "stream": "<the Kafka key>", "sequence": <ce_sequence>}
A subscriber with the guarantee exactly-once keeps its effects in a store; --effects prints them.
"""
EXAMPLE = """\
example:
  %(prog)s --kafka 127.0.0.1:9092 -- python my_subscriber.py

exit status: 0 conforming, 1 not conforming, 2 wrong usage, 3 Kafka is down
"""


def main() -> None:
    arguments = _parser().parse_args()
    scenarios = [
        one
        for one in SCENARIOS
        if (not arguments.only or one.name in arguments.only) and one.name not in arguments.skip
    ]
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="conformance-"))
    try:
        outcomes = asyncio.run(_run(arguments, scenarios, folder))
    except (KafkaError, OSError) as fault:
        sys.stderr.write(f"kafka is unavailable: {type(fault).__name__}: {fault}\n")
        raise SystemExit(DEPENDENCY_DOWN) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    _tell(outcomes, arguments.json)
    passed = all(outcome.passed for outcome in outcomes)
    raise SystemExit(FINE if passed else NOT_CONFORMING)


def _parser() -> argparse.ArgumentParser:
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(
        prog="python -m services.core.subscriber.conformance",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--kafka",
        default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"),
        metavar="SERVERS",
        help="host:port, by commas; a cluster for tests (default: KAFKA_BOOTSTRAP_SERVERS)",
    )
    parser.add_argument(
        "--guarantee",
        type=Guarantee,
        choices=list(Guarantee),
        default=Guarantee.AT_LEAST_ONCE,
        help="what holds over kills and rebalances (default: at-least-once)",
    )
    parser.add_argument(
        "--effects",
        type=shlex.split,
        default=[],
        metavar="COMMAND",
        help="prints all effects so far as lines of JSON; in place of SUBSCRIBER_EFFECTS",
    )
    parser.add_argument(
        "--only", action="append", default=[], choices=names, help="this scenario; repeatable"
    )
    parser.add_argument(
        "--skip", action="append", default=[], choices=names, help="not this one; repeatable"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"how long to wait for anything expected (default: {PATIENCE:g})",
    )
    parser.add_argument("--folder", help="where the subscriber's files go (default: a new one)")
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="runs the subscriber")
    return parser


async def _run(
    arguments: argparse.Namespace, scenarios: Sequence[Scenario], folder: Path
) -> list[Outcome]:
    if not arguments.kafka:
        _parser().error("--kafka or KAFKA_BOOTSTRAP_SERVERS must say where Kafka is")
    outcomes: list[Outcome] = []
    async for outcome in run_suite(
        Program(arguments.command, arguments.effects),
        arguments.kafka,
        folder,
        guarantee=arguments.guarantee,
        scenarios=scenarios,
        patience=arguments.patience,
    ):
        verdict = "passed" if outcome.passed else "FAILED"
        sys.stderr.write(
            f"{len(outcomes) + 1}/{len(scenarios)} {outcome.scenario.name} {verdict}\n"
        )
        outcomes.append(outcome)
    return outcomes


def _tell(outcomes: Sequence[Outcome], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([_as_json(outcome) for outcome in outcomes], indent=2) + "\n")
        return
    width = max((len(outcome.scenario.name) for outcome in outcomes), default=0)
    for outcome in outcomes:
        verdict = "passed" if outcome.passed else "FAILED"
        name = outcome.scenario.name.ljust(width)
        sys.stdout.write(
            f"{name}  {verdict}  {outcome.seconds:5.1f} s  {outcome.scenario.promise}\n"
        )
        if not outcome.passed:
            indent = " " * (width + 2)
            sys.stdout.write(f"{indent}{outcome.complaint}\n{indent}see {outcome.state}\n")
    failed = sum(not outcome.passed for outcome in outcomes)
    sys.stdout.write(f"{len(outcomes) - failed} passed, {failed} failed\n")


def _as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "scenario": outcome.scenario.name,
        "promise": outcome.scenario.promise,
        "passed": outcome.passed,
        "seconds": round(outcome.seconds, 3),
        "complaint": outcome.complaint,
        "state": str(outcome.state),
    }


if __name__ == "__main__":
    main()
