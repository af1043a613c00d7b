"""A reranker on a server of the hospital's own, over the ``/rerank`` protocol of Jina and vLLM."""

from __future__ import annotations

import os
from typing import Any

from radfind.engines.remote_rerank.engine import RemoteReranker
from radfind.engines.settings import check_options

ADDRESS = "RADFIND_RERANK_URL"
TOKEN = "RADFIND_RERANK_TOKEN"


def create(**options: Any) -> RemoteReranker:
    """The engine at the address in ``RADFIND_RERANK_URL``, with the bearer token in ``RADFIND_RERANK_TOKEN`` if set.

    Arguments:
        options: of `RemoteReranker` (without `address` and `token`).

    Raises:
        InputError: an option it does not have.
    """
    factory = f"{RemoteReranker.__module__}:{RemoteReranker.__name__}"
    check_options("remote_rerank", factory, options, taken=("address", "token"))
    return RemoteReranker(os.environ.get(ADDRESS, ""), token=os.environ.get(TOKEN), **options)
