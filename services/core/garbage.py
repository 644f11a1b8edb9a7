"""Python's garbage collector where batches of the log are folded."""

import gc

UNCOLLECTED = 1_000_000
"""Objects by which the heap may grow before cycles are looked for. Two batches on their way are
fewer; looking through them, and through the states at hand, took a third of the time."""


def spare_collections() -> None:
    """Batches are large and hold no cycles: looking for some after every 700 objects is waste."""
    gc.freeze()
    gc.set_threshold(UNCOLLECTED, 20, 20)
