"""`influencerctl`, also `python -m services.ops`."""

import logging

from services.ops.checker.command import check_log
from services.ops.commands.archive import export, import_
from services.ops.commands.control_plane import (
    keys_application,
    organizations_application,
    projects_application,
)
from services.ops.commands.events import events_application
from services.ops.commands.grants import grants
from services.ops.commands.history import history
from services.ops.commands.lag import lag
from services.ops.commands.media import media_application
from services.ops.commands.migrate import migrate
from services.ops.commands.quarantine import quarantine_application
from services.ops.commands.queue import queue_application
from services.ops.commands.rebuild import rebuild_application
from services.ops.commands.relay import outbox_application, relay_application
from services.ops.commands.repair import repair
from services.ops.commands.restore import restore
from services.ops.commands.status import status
from services.ops.commands.topics import topics_application
from services.ops.commands.verify import verify
from services.ops.terminal import application

ctl = application(
    "Operate the influencer service. The environment says where: DATABASE_URL, "
    "KAFKA_BOOTSTRAP_SERVERS, KAFKA_TOPIC_PREFIX, MEDIA_STORE_URL.\n\n"
    "Exit status: 0 fine, 1 found something wrong, 2 wrong usage, 3 a dependency is down."
)
ctl.command("migrate")(migrate)
ctl.command("grants")(grants)
ctl.command("status")(status)
ctl.command("lag")(lag)
ctl.add_typer(events_application, name="events")
ctl.command("history")(history)
ctl.add_typer(rebuild_application, name="rebuild")
ctl.command("check-log")(check_log)
ctl.command("verify")(verify)
ctl.command("repair")(repair)
ctl.command("restore")(restore)
ctl.add_typer(quarantine_application, name="quarantine")
ctl.command("export")(export)
ctl.command("import")(import_)
ctl.add_typer(outbox_application, name="outbox")
ctl.add_typer(relay_application, name="relay")
ctl.add_typer(queue_application, name="queue")
ctl.add_typer(media_application, name="media")
ctl.add_typer(topics_application, name="topics")
ctl.add_typer(organizations_application, name="org")
ctl.add_typer(projects_application, name="project")
ctl.add_typer(keys_application, name="key")


def main() -> None:
    # A client's own warnings would come before the one clear line of the fault.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    ctl(prog_name="influencerctl")


if __name__ == "__main__":
    main()
