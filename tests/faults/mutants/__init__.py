"""Services with one promise broken on purpose: whoever judges must notice.

`python -m tests.faults.mutants NAME,NAME services.api` runs that service, mutated.
"""

from collections.abc import Callable

from tests.faults.mutants.apis import APIS
from tests.faults.mutants.projectors import PROJECTORS
from tests.faults.mutants.relays import RELAYS
from tests.faults.mutants.renderers import RENDERERS

Mutate = Callable[[], None]


def _named(*mutations: Mutate) -> dict[str, Mutate]:
    return {mutate.__name__.replace("_", "-"): mutate for mutate in mutations}


MUTANTS: dict[str, dict[str, Mutate]] = {
    "api": _named(*APIS, *RELAYS),
    "renderer": _named(*RENDERERS),
    "projector": _named(*PROJECTORS),
}
"""By service and name."""
