"""Generated pictures and files for tests."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int = 0, height: int = 24, width: int = 32) -> Image.Image:
    """A smooth random RGB picture, which survives JPEG well."""
    coarse = np.random.RandomState(seed).randint(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


def pixel_arrays(n: int, height: int = 24, width: int = 24) -> np.ndarray:
    """Pictures as one array (n, height, width, 3), uint8."""
    return np.stack([np.asarray(picture(seed, height, width)) for seed in range(n)])


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    """The bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def write_pictures(folder: Path, n: int = 6) -> list[str]:
    """Write pictures as PNG into two sub-folders; return the sorted paths."""
    paths = []
    for i in range(n):
        path = folder / f"class {i % 2}" / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i).save(path)
        paths.append(str(path))
    return sorted(paths)


def write_zip(path: Path, entries: dict[str, bytes]) -> Path:
    """Write a zip with the given names and contents."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def png_that_claims(width: int, height: int) -> bytes:
    """A small PNG file whose header claims any size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def grey_jpeg(side: int) -> bytes:
    """A whole grey JPEG of any size (a multiple of 16), made without making its pixels."""
    small = encoded(Image.new("L", (16, 16), 128), "JPEG")
    size_at = small.index(b"\xff\xc0") + 5
    data_at = small.index(b"\xff\xda") + 10
    header = small[:size_at] + struct.pack(">HH", side, side) + small[size_at + 4 : data_at]
    # In the standard Huffman tables, a block like the one before is the bits 001010.
    n_bits = 6 * (side // 8) ** 2
    return header + b"\x28\xa2\x8a" * (n_bits // 24) + b"\xff\xd9"
