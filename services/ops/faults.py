"""What ends a command early, each with its exit status."""

from enum import IntEnum


class ExitStatus(IntEnum):
    FINE = 0
    FOUND_SOMETHING_WRONG = 1
    USAGE = 2
    DEPENDENCY_DOWN = 3


class CommandFault(Exception):
    """One clear line for the operator."""

    status = ExitStatus.FOUND_SOMETHING_WRONG


class OperatorMistake(CommandFault):
    """The command can't be carried out as it was given."""

    status = ExitStatus.USAGE


class NotMigrated(CommandFault):
    """The database lacks a table or column that this version needs."""

    status = ExitStatus.DEPENDENCY_DOWN

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; the database is not migrated: run `influencerctl migrate`")


class NotFoundInTime(CommandFault):
    """It may be there: the search was given up."""

    status = ExitStatus.DEPENDENCY_DOWN

    def __init__(self, event_id: str, seconds: float) -> None:
        super().__init__(f"{event_id} was not found within {seconds:g} s; --timeout looks longer")
