"""The machine-readable description of the api: OpenAPI 3.1, made from the models and routes."""
