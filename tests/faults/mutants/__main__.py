"""`python -m tests.faults.mutants NAME,NAME services.api`."""

import runpy
import sys

from tests.faults.mutants import MUTANTS


def main() -> None:
    names, module = sys.argv[1:3]
    service = module.rpartition(".")[2]
    for name in names.split(","):
        MUTANTS[service][name]()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
