"""Draw the pictures of the report for the README: ``python docs/make_report_pictures.py``.

A thousand images of Fashion-MNIST (Debian's package dataset-fashion-mnist) are sorted by the
command line, and its report is photographed in chromium: in light, in dark, and as wide as a phone.
Needs selenium, chromium and chromedriver.
"""

import gzip
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

FASHION = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
HEADER = 16  # bytes before the pixels in an idx file of images
N_IMAGES = 1_000
PICTURES = Path(__file__).parent / "images"


def write_images(folder: Path) -> None:
    """Write images as PNG files."""
    pixels = np.frombuffer(gzip.decompress(FASHION.read_bytes()), np.uint8, offset=HEADER)
    folder.mkdir(parents=True)
    for number, image in enumerate(pixels.reshape(-1, 28, 28)[:N_IMAGES]):
        Image.fromarray(image).save(folder / f"{number:04d}.png")


def photograph(page: Path) -> None:
    """Save pictures of parts of the page."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    shots = [
        ("report-light", 1200, 860, "light", "#classes"),
        ("report-dark", 1200, 800, "dark", "#map"),
        ("report-phone", 390, 800, "light", "#class-0"),
    ]
    try:
        for name, width, height, scheme, part in shots:
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            feature = {"name": "prefers-color-scheme", "value": scheme}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            driver.get(page.as_uri())
            while driver.execute_script("return document.documentElement.dataset.ready") != "yes":
                time.sleep(0.05)
            for _ in range(3):  # cards are drawn as they come into view
                driver.execute_script("document.querySelector(arguments[0]).scrollIntoView()", part)
                time.sleep(0.5)
            picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
            picture.quantize(256, Image.Quantize.MAXCOVERAGE).save(
                PICTURES / f"{name}.png", optimize=True
            )
    finally:
        driver.quit()


def main() -> None:
    """Sort the images, make the report, photograph it."""
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "fashion")
        command = [sys.executable, "-m", "skscan", "cluster", "fashion", "-k", "10", "-o", "sorted"]
        subprocess.run([*command, "--quiet"], cwd=folder, check=True, env=os.environ)
        photograph(Path(folder) / "sorted" / "report.html")


if __name__ == "__main__":
    main()
