"""Where image bytes live: the object store, the names of media in it, signed paths to them."""
