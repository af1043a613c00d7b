"""A reranker on a server of the hospital's own, over the ``/rerank`` protocol of Jina and vLLM."""

from __future__ import annotations

import os

from radfind.engines.remote_rerank.engine import RemoteReranker

ADDRESS = "RADFIND_RERANK_URL"
TOKEN = "RADFIND_RERANK_TOKEN"


def create() -> RemoteReranker:
    """The engine at the address in ``RADFIND_RERANK_URL``, with the bearer token in ``RADFIND_RERANK_TOKEN`` if set."""
    return RemoteReranker(os.environ.get(ADDRESS, ""), token=os.environ.get(TOKEN))
