"""One worker for the whole application, shared by the module and the Segment Editor effect."""

from __future__ import annotations

from .client import WorkerClient

_client: WorkerClient | None = None


def get_client() -> WorkerClient:
    """The application's client; its worker starts with the first request. Raises WorkerError (worker_unavailable)."""
    global _client
    if _client is None:
        _client = WorkerClient()
    return _client


def close_client() -> None:
    """Stop the worker; the next ``get_client()`` makes a new client."""
    global _client
    client, _client = _client, None
    if client is not None:
        client.stop()
