"""The log as a file: JSON Lines in zstd, sealed; written by `export`, read by `import`."""
