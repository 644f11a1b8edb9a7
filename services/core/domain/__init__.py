"""The decisions, pure: commands in, events out; nothing here does I/O or reads a clock."""
