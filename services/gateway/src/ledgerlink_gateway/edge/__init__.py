"""The hot path: a bare ASGI callable that checks, limits and passes requests on, in front of the FastAPI app."""
