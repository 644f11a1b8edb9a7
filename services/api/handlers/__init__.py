"""One module per resource; a handler reads, decides what to append, and answers."""
