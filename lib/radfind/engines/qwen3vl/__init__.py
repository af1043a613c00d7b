"""Qwen3-VL-Reranker: ranks slices by how well they show what a text says."""
