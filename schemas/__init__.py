"""The wire: ids, events with their CloudEvents envelope, and REST bodies."""
