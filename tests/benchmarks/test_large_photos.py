"""Memory of extraction does not grow with the number of large images."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from large_photos import measure, write_photos


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_peak_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """PNG files are decoded whole, to 18 MB each: 64 more, if held, would take 1,150 MB."""
    write_photos(tmp_path, 104, "png", (3000, 2000))
    few, many = (measure(tmp_path, n, 2048)["peak"] for n in (40, 104))
    assert many < few + 200
