"""Nearest rows of a product-quantized memory bank, in integers.

A query is int8 (D,), D = M * Ds; codewords int8 (M, Ks, Ds); codes uint8 (N, M). Distances are
squared, at most D * 254^2, and uint32 in C. On ties the lowest index wins.

C twins: `firmware/lib/vad_detect/src/vad_pq_search.c`, `vad_pqnn_search.c`. Vectors:
`tests/vectors/pq_search.json`.
"""

from __future__ import annotations

import numpy as np

from vadgen.ref.flat_search import squared_distances


def tables(codewords: np.ndarray, query: np.ndarray) -> np.ndarray:
    """T[m][k] = |query_m - codewords[m][k]|^2, int64 (M, Ks)."""
    n_subspaces, _, sub_dims = codewords.shape
    parts = query.astype(np.int64).reshape(n_subspaces, 1, sub_dims)
    return ((parts - codewords) ** 2).sum(axis=2)


def look_up(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sum over m of T[m][codes[n][m]], int64 (N,)."""
    return table[np.arange(table.shape[0]), codes].sum(axis=1)


def adc(codewords: np.ndarray, codes: np.ndarray, query: np.ndarray) -> tuple[int, int]:
    """Squared distance and index of the row nearest to the query, by asymmetric distances."""
    distances = look_up(tables(codewords, query), codes)
    nearest = int(distances.argmin())
    return int(distances[nearest]), nearest


def encode(codewords: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The query's own code: its nearest centroid in each subspace, int64 (M,)."""
    return tables(codewords, query).argmin(axis=1)


def pqnn(
    codewords: np.ndarray,
    codes: np.ndarray,
    query: np.ndarray,
    n_candidates: int,
    n_neighbors: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Two-phase search: symmetric distances choose candidates, asymmetric ones rank them.

    Phase 1 takes the `n_candidates` rows whose codes are nearest to the query's own code, by the
    distance between centroids; phase 2 takes the `n_neighbors` of them nearest to the query.

    Returns:
        squared distances int64 (n_neighbors,), ascending, and row indices.

    Source: the thesis's algorithm 6.1, with distances between centroids in place of code bytes.
    """
    own = codewords[np.arange(len(codewords)), encode(codewords, query)].reshape(-1)
    symmetric = look_up(tables(codewords, own), codes)
    candidates = np.sort(np.argsort(symmetric, kind="stable")[:n_candidates])
    distances = look_up(tables(codewords, query), codes[candidates])
    order = np.argsort(distances, kind="stable")[:n_neighbors]
    return distances[order], candidates[order]


def pqnn_nearest(
    codewords: np.ndarray,
    codes: np.ndarray,
    queries: np.ndarray,
    n_candidates: int,
    block: int = 1024,
) -> tuple[np.ndarray, np.ndarray]:
    """`pqnn` with one neighbour for many queries, int8 (n, D).

    The distance between two codes is that between the rows they stand for.

    Returns:
        uint32 (n,) and int64 (n,).
    """
    rows = decode(codewords, codes)
    distances = np.empty(len(queries), np.uint32)
    indices = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        parts = np.split(part, len(codewords), axis=1)
        own_codes = [
            squared_distances(centroids, sub).argmin(axis=1)
            for centroids, sub in zip(codewords, parts, strict=True)
        ]
        own = decode(codewords, np.stack(own_codes, axis=1))
        ranks = squared_distances(rows, own).astype(np.int64) * len(rows) + np.arange(len(rows))
        last = np.partition(ranks, n_candidates - 1, axis=1)[:, n_candidates - 1, None]
        squared = np.where(ranks <= last, squared_distances(rows, part), np.inf)
        best = squared.argmin(axis=1)
        indices[start : start + block] = best
        distances[start : start + block] = squared[np.arange(len(part)), best].astype(np.uint32)
    return distances, indices


def decode(codewords: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The bank's rows, int8 (N, D)."""
    rows = codewords[np.arange(codewords.shape[0]), codes]
    return rows.reshape(len(codes), -1)
