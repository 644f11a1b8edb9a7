"""How the service is run: locally from packages, and elsewhere."""
