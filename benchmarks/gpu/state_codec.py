"""Arrays as few bytes: float32 rounded to fewer bits of the mantissa, exponents compressed.

A float32 has 1 bit of sign, 8 of exponent and 23 of mantissa. Rounded to k bits of mantissa a
number changes by at most 2^-(k + 1) of itself, whatever its size, zeros stay zeros, and rounding
again changes nothing. With k = 7 the numbers are those of bfloat16. The exponents of weights and of
an optimiser's moments are alike, so Huffman's code brings their 8 bits down to about 3.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT_BITS", "Rounded", "bits_in_use", "decode", "encode", "round_mantissa"]

EXACT_BITS = 23

_HEAD = struct.Struct("<BBQ")  # bits of the mantissa, whether there are signs, bytes of exponents


@dataclass(frozen=True)
class Rounded:
    """What rounding changed.

    Attributes
    ----------
    largest : float
        Largest change of a number, as a share of it; of normal numbers.
    rms : float
        Root mean square of the changes, as a share of that of the numbers.
    """

    largest: float
    rms: float


def round_mantissa(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Round finite numbers to the nearest with so many bits of mantissa.

    Parameters
    ----------
    values : ndarray of float32
    bits : int
        From 0 to 23; 23 changes nothing.

    Returns
    -------
    rounded : ndarray of float32
        Of the same shape.
    """
    cut = EXACT_BITS - bits
    if cut == 0:
        return values.copy()
    codes = _codes(values)
    # a carry goes into the exponent, which is right: the next number up has a mantissa of zeros
    codes = (codes + np.uint32(1 << (cut - 1))) & np.uint32(~((1 << cut) - 1) & 0xFFFFFFFF)
    return codes.view(np.float32).reshape(values.shape)


def change(values: NDArray[np.float32], rounded: NDArray[np.float32]) -> Rounded:
    """Measure what rounding did.

    Parameters
    ----------
    values, rounded : ndarray of float32, of the same shape

    Returns
    -------
    change : Rounded
    """
    exact = values.astype(np.float64)
    error = np.abs(rounded - exact)
    normal = np.abs(exact) >= np.finfo(np.float32).tiny
    largest = float((error[normal] / np.abs(exact[normal])).max(initial=0.0))
    size = float(np.sqrt((exact**2).mean()))
    return Rounded(largest, float(np.sqrt((error**2).mean())) / size if size else 0.0)


def bits_in_use(values: NDArray[np.float32]) -> int:
    """Return how many bits of mantissa hold the numbers exactly."""
    used = int(np.bitwise_or.reduce(_codes(values), initial=0)) & ((1 << EXACT_BITS) - 1)
    return (
        EXACT_BITS if used & 1 else EXACT_BITS - ((used & -used).bit_length() - 1 if used else 23)
    )


def encode(values: NDArray[np.float32]) -> bytes:
    """Write numbers without loss; those that were rounded before take less room.

    Parameters
    ----------
    values : ndarray of float32

    Returns
    -------
    data : bytes
        For `decode`; the shape is not in it.
    """
    bits = bits_in_use(values)
    codes = _codes(values) >> np.uint32(EXACT_BITS - bits)
    exponents = ((codes >> np.uint32(bits)) & np.uint32(0xFF)).astype(np.uint8)
    # their order is random, so a search for repetitions would only take time
    strategy = zlib.Z_HUFFMAN_ONLY if exponents.any() else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(6, zlib.DEFLATED, -15, 9, strategy)
    packed = packer.compress(exponents) + packer.flush()
    signed = bool((codes >> np.uint32(bits + 8)).any())
    planes = [*range(bits), *([bits + 8] if signed else [])]
    return b"".join(
        [
            _HEAD.pack(bits, signed, len(packed)),
            packed,
            *(
                np.packbits(((codes >> np.uint32(bit)) & np.uint32(1)).astype(bool))
                for bit in planes
            ),
        ]
    )


def decode(data: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Read what `encode` wrote.

    Parameters
    ----------
    data : bytes
    shape : tuple of int

    Returns
    -------
    values : ndarray of float32
    """
    n = int(np.prod(shape, dtype=np.int64))
    bits, signed, n_packed = _HEAD.unpack_from(data)
    start = _HEAD.size + n_packed
    exponents = zlib.decompress(data[_HEAD.size : start], -15)
    codes = np.frombuffer(exponents, np.uint8).astype(np.uint32) << np.uint32(bits)
    plane_bytes = -(-n // 8)
    for bit in [*range(bits), *([bits + 8] if signed else [])]:
        plane = np.frombuffer(data, np.uint8, plane_bytes, start)
        codes |= np.unpackbits(plane, count=n).astype(np.uint32) << np.uint32(bit)
        start += plane_bytes
    return (codes << np.uint32(EXACT_BITS - bits)).view(np.float32).reshape(shape)


def _codes(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint32)
