"""`python -m services.ops.checker`."""

import typer

from services.ops.checker.command import check_log


def main() -> None:
    typer.run(check_log)


if __name__ == "__main__":
    main()
