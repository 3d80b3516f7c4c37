import contextlib
import io

import numpy as np
import pytest
from image_factory import encoded, grey_jpeg, picture, png_that_claims
from numpy.testing import assert_array_equal
from PIL import Image

from skscan.exceptions import ImageReadError
from skscan.images import decoding
from skscan.images.decoding import decode, has_image_extension, read_file, to_rgb


def decode_bytes(content: bytes, min_side: int | None = None, name: str = "") -> np.ndarray:
    image = decode(io.BytesIO(content), min_side, name)
    assert image.mode == "RGB"
    return np.asarray(image)


def reason_of(content: bytes, **options: object) -> str:
    with pytest.raises(ImageReadError) as caught:
        decode(io.BytesIO(content), **options)
    return caught.value.reason


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "TGA", "QOI", "SGI"])
def test_lossless_formats_keep_every_pixel(file_format):
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = encoded(picture(), file_format, **options)
    assert_array_equal(decode_bytes(content), np.asarray(picture()))


@pytest.mark.parametrize("file_format", ["JPEG", "GIF", "JPEG2000", "AVIF"])
def test_lossy_formats_keep_the_picture(file_format):
    difference = decode_bytes(encoded(picture(), file_format)).astype(int) - np.asarray(picture())
    assert np.abs(difference).mean() < 8


# What has to be done to the stored pixels, by the value of the EXIF tag "Orientation".
UPRIGHT = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_undone(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode_bytes(encoded(picture(), "PNG", exif=exif))
    assert_array_equal(upright, UPRIGHT[orientation](np.asarray(picture())))


def test_orientation_is_kept_when_a_large_jpeg_is_shrunk():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(picture(height=400, width=800), "JPEG", exif=exif)
    assert decode_bytes(content, min_side=50).shape == (100, 50, 3)


def test_broken_exif_does_not_lose_the_image():
    content = encoded(picture(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert decode_bytes(content).shape == (24, 32, 3)


def test_cmyk_jpeg_has_its_colours():
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert_array_equal(decode_bytes(encoded(red, "JPEG"))[4, 4] > 128, [True, False, False])


def test_palette_with_a_transparent_colour_lies_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    pixels = decode_bytes(encoded(image, "PNG", transparency=0))
    assert_array_equal(pixels, [[[255, 255, 255], [40, 50, 60]]])


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("RGBA", (0, 0, 0, 0), 255),
        ("RGBA", (0, 0, 0, 255), 0),
        ("RGBA", (0, 0, 0, 51), 204),
        ("LA", (100, 0), 255),
        ("LA", (100, 255), 100),
    ],
)
def test_transparency_lies_on_white(mode, pixel, expected):
    content = encoded(Image.new(mode, (3, 3), pixel), "PNG")
    assert_array_equal(decode_bytes(content), np.full((3, 3, 3), expected))


def test_16_bit_grey_is_scaled_by_its_full_range():
    grey = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    pixels = decode_bytes(encoded(Image.fromarray(grey), "PNG"))
    assert_array_equal(pixels[0, :, 0], [0, 1, 128, 255])
    assert_array_equal(pixels[..., 0], pixels[..., 2])


def test_float_tiff_is_taken_in_0_1_and_refused_elsewhere():
    grey = np.array([[0, 0.5, 1]], dtype=np.float32)
    pixels = decode_bytes(encoded(Image.fromarray(grey), "TIFF"))
    assert_array_equal(pixels[0, :, 0], [0, 128, 255])
    assert "grey values from 0 to 1000" in reason_of(encoded(Image.fromarray(grey * 1000), "TIFF"))
    assert "grey values" in reason_of(encoded(Image.fromarray(grey * np.nan), "TIFF"))


def test_one_bit_images_are_black_and_white():
    pixels = decode_bytes(encoded(Image.fromarray(np.eye(4, dtype=bool)), "PNG"))
    assert_array_equal(pixels[..., 1], 255 * np.eye(4))


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert_array_equal(decode_bytes(content)[0, 0], [255, 0, 0])


@pytest.mark.parametrize(
    "file_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "QOI"]
)
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9])
def test_truncated_files_are_refused(file_format, kept):
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), file_format)
    assert reason_of(content[: int(kept * len(content))])


def test_truncated_progressive_jpeg_is_refused():
    content = encoded(picture(height=200, width=200), "JPEG", progressive=True)
    assert "truncated" in reason_of(content[: len(content) // 2], min_side=20)


def test_empty_file():
    assert reason_of(b"") == "empty file (0 bytes)"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("notes.txt", "not an image (*.txt)"),
        ("README", "not an image"),
        ("photo.JPG", "damaged, or not an image in spite of its name (*.JPG)"),
    ],
)
def test_other_files_are_told_by_name(name, reason):
    assert reason_of(b"not an image at all", name=name) == reason


def test_heic_without_plugin_says_what_is_missing():
    assert "pillow-heif" in reason_of(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1")


def test_formats_that_start_programs_are_never_opened():
    assert reason_of(encoded(picture(), "EPS"), name="drawing.eps") == "not an image (*.eps)"


@pytest.mark.filterwarnings("error")
def test_huge_image_is_refused_before_it_is_decoded():
    assert reason_of(png_that_claims(40_000, 40_000)) == (
        "too large (40000 x 40000 pixels; at most 89 megapixels)"
    )


@pytest.mark.filterwarnings("error")
def test_huge_jpeg_is_read_at_a_fraction_of_its_size():
    content = grey_jpeg(40_000)
    image = decode(io.BytesIO(content), min_side=128)
    assert image.size == (5000, 5000)
    assert image.getextrema() == ((128, 128),) * 3
    assert "too large" in reason_of(content)


def test_progressive_jpeg_is_judged_by_its_whole_size(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 10_000)
    large = picture(height=400, width=400)
    assert decode_bytes(encoded(large, "JPEG"), min_side=50).shape == (50, 50, 3)
    assert "400 x 400" in reason_of(encoded(large, "JPEG", progressive=True), min_side=50)


@pytest.mark.parametrize("min_side", [1, 30, 60, 100, 199, 200, 500])
def test_shrinking_never_goes_below_what_is_shown(min_side):
    content = encoded(picture(height=200, width=300), "JPEG")
    height, width, _ = decode_bytes(content, min_side=min_side).shape
    assert min_side <= height <= 200 or height == 200
    assert width == pytest.approx(1.5 * height, abs=1)


def test_given_image_is_left_as_it_is():
    image = Image.new("RGBA", (3, 2), (1, 2, 3, 0))
    image.getexif()[0x0112] = 6
    assert to_rgb(image).size == (2, 3)
    assert image.mode == "RGBA"
    assert image.size == (3, 2)
    assert image.getexif()[0x0112] == 6


def test_file_errors_have_reasons(tmp_path, monkeypatch):
    def reason(path: object) -> str:
        with pytest.raises(ImageReadError) as caught:
            read_file(str(path))
        return caught.value.reason

    assert reason(tmp_path / "missing.png") == "file not found"
    assert reason(tmp_path) == "a folder, whose images cannot be listed"
    assert reason("/dev/null") == "not a regular file"
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "missing.png")
    assert reason(link) == "broken link"
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    assert "symbolic links" in reason(loop)
    assert "null" in reason("a\0b.png")

    def deny(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = tmp_path / "secret.png"
    picture().save(file)
    monkeypatch.setattr("builtins.open", deny)
    assert reason(file) == "permission denied"


@pytest.mark.parametrize("seed", range(20))
def test_damaged_files_raise_nothing_else(seed):
    draws = np.random.RandomState(seed)
    for file_format in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "TGA", "JPEG2000"):
        content = bytearray(encoded(picture(seed), file_format))
        for place in draws.randint(0, len(content), 12):
            content[place] = draws.randint(256)
        # Whether it can still be read is for chance to say; what matters is that nothing else is
        # raised, and that something is returned otherwise.
        image = None
        with contextlib.suppress(ImageReadError):
            image = decode(io.BytesIO(bytes(content)))
        assert image is None or image.mode == "RGB"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.jpg", True), ("a.JPEG", True), ("a.heic", True), ("a.txt", False), ("a.eps", False)],
)
def test_extensions(name, expected):
    assert has_image_extension(name) is expected


@pytest.mark.parametrize("content", [b"{}", b"hi", b"BM, a text about cars"])
def test_a_short_text_is_not_called_damaged(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=r"not an image \(\*\.txt\)"):
        read_file(str(path))
