"""Memory banks: rows kept as int8 vectors, or product-quantized in nanopq's format."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError

Int8 = NDArray[np.int8]
UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

LIMIT = 127
_ITERATIONS = 20
_TRAINING = 4096  # rows that k-means sees, farthest first
_NANOPQ = threading.Lock()  # it draws from numpy's one generator; so do warnings' filters


@dataclass(frozen=True, eq=False)
class FlatBank:
    """Rows as they are: int8 (N, D), values in [-127, 127]."""

    rows: Int8

    @property
    def n_codes(self) -> int:
        """N."""
        return len(self.rows)

    def decode(self) -> Int8:
        """The rows, int8 (N, D)."""
        return self.rows


@dataclass(frozen=True, eq=False)
class PqBank:
    """Rows as codes: row n is the concatenation over m of `codewords[m][codes[n][m]]`.

    Attributes:
        codewords: int8 (M, Ks, Ds), 1 < Ks <= 256, values in [-127, 127].
        codes: uint8 (N, M), values below Ks.
    """

    codewords: Int8
    codes: UInt8

    @property
    def n_codes(self) -> int:
        """N."""
        return len(self.codes)

    @property
    def bits(self) -> int:
        """Bits of one code: 4 or 8."""
        return 4 if self.codewords.shape[1] <= 16 else 8

    def decode(self) -> Int8:
        """The rows, int8 (N, M * Ds)."""
        rows = self.codewords[np.arange(len(self.codewords)), self.codes]
        return rows.reshape(len(self.codes), -1)


Bank = FlatBank | PqBank


def divisors(dims: int, least: int = 1) -> tuple[int, ...]:
    """Numbers of subspaces that divide `dims`, at least `least`, ascending."""
    return tuple(m for m in range(least, dims + 1) if dims % m == 0)


def check_sizes(dims: int, n_subspaces: int, n_centroids: int, n_codes: int) -> None:
    """Refuses a quantizer that cannot be trained.

    Args:
        dims: D, values of a row.
        n_subspaces: M.
        n_centroids: Ks.
        n_codes: N, rows of the bank.

    Raises:
        VadgenError: when M does not divide D, or the bank is smaller than a codebook.
    """
    if n_subspaces > dims or dims % n_subspaces:
        near = sorted(divisors(dims), key=lambda m: (abs(m - n_subspaces), m))[:4]
        raise VadgenError(
            f"{n_subspaces} subspaces do not divide {dims} features",
            f"ask for --subspaces {', '.join(str(m) for m in sorted(near))}",
        )
    if n_codes < n_centroids:
        fits = ", or --bits 4" if n_centroids > 16 and n_codes >= 16 else ""
        raise VadgenError(
            f"{n_codes} rows are fewer than the {n_centroids} centroids of a subspace",
            f"ask for --codes {n_centroids} or more, or --search flat{fits}",
        )


def quantize(rows: Float32, n_subspaces: int, n_centroids: int, seed: int) -> PqBank:
    """Trains nanopq's product quantizer on the bank itself, and rounds its codewords.

    The bank is what the codes have to tell apart, so it is the training set: trained on all patches
    the quantizer spends its centroids where the bank has few rows.

    Args:
        rows: float32 (N, D), in steps of the int8 scale, |values| <= 127.
        n_subspaces: M; divides D.
        n_centroids: Ks; a code takes 4 bits when it is 16, else 8.
        seed: of k-means.

    Raises:
        VadgenError: when M does not divide D, or the bank is smaller than a codebook.
    """
    import nanopq

    check_sizes(rows.shape[1], n_subspaces, n_centroids, len(rows))
    if len(rows) == n_centroids:  # nanopq wants more: each row is a centroid
        trained = rows.reshape(len(rows), n_subspaces, -1).transpose(1, 0, 2)
    else:
        with _NANOPQ, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # k-means left a centroid without rows
            quantizer = nanopq.PQ(n_subspaces, n_centroids, verbose=False)
            quantizer.fit(rows[:_TRAINING].astype(np.float32), iter=_ITERATIONS, seed=seed)
        trained = quantizer.codewords
    codewords = np.clip(np.rint(trained), -LIMIT, LIMIT).astype(np.int8)
    return PqBank(codewords, encode(codewords, rows))


def encode(codewords: Int8, rows: Float32) -> UInt8:
    """Nearest centroid in each subspace, the lowest index on ties; uint8 (N, M)."""
    n_subspaces, _, sub_dims = codewords.shape
    parts = rows.reshape(len(rows), n_subspaces, sub_dims)
    codes = np.empty((len(rows), n_subspaces), np.uint8)
    for m in range(n_subspaces):
        centroids = codewords[m].astype(np.float64)
        rest = (centroids**2).sum(axis=1) - 2 * (parts[:, m].astype(np.float64) @ centroids.T)
        codes[:, m] = rest.argmin(axis=1)
    return codes


def pack(codes: UInt8, bits: int) -> UInt8:
    """Codes of one level as the firmware reads them: 4-bit codes in pairs, the even one low.

    Args:
        codes: uint8 (N, m).
        bits: 4 or 8.

    Returns:
        uint8 (N, m) or (N, ceil(m / 2)).
    """
    if bits == 8:
        return codes
    padded = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
    return (padded[:, 0::2] | (padded[:, 1::2] << 4)).astype(np.uint8)
