"""A process that folds its share of the log into a schema (started by `filling`)."""

from services.core.garbage import spare_collections
from services.core.readmodel.rebuild.filling import carry_out
from services.core.replay.processes import serve_order

if __name__ == "__main__":
    spare_collections()
    serve_order(carry_out)
