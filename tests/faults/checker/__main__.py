"""`python -m tests.faults.checker`."""

from services.ops.checker.__main__ import main

if __name__ == "__main__":
    main()
