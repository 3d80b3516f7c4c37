"""How fast the report is in a browser: ``python benchmarks/report.py OUT`` or ``--images 50000``.

OUT is what ``skscan cluster`` has written, with its report. With ``--images`` the report is made
up instead: so many points in ten groups, with scikit-learn's digits as thumbnails. Needs selenium,
chromium and chromedriver; what is printed is what the browser itself measures:

- first paint: from the start of navigation to the first content on the screen;
- main thread: processor time that the page takes until all of it is drawn (other programs that run
  at the same time do not count);
- longest frame: the longest time between two frames while the page is scrolled from top to bottom
  in steps, while all images of a class are scrolled, while the map is zoomed, and while a lasso is
  drawn around many points, with everything that follows from it.
"""

import argparse
import io
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, make_blobs

LONGEST_FRAME = """
window.frames_ = [];
window.watching_ = true;
let last = performance.now();
function step(now) {
  window.frames_.push(now - last);
  last = now;
  if (window.watching_) requestAnimationFrame(step);
}
requestAnimationFrame(step);
"""


def made_up_report(folder: Path, n_images: int) -> Path:
    """Write a report on points that stand for images."""
    from skscan import NeighborMiner
    from skscan.report.page import write_page
    from skscan.report.page_data import build_page_data
    from skscan.report.run import Run
    from skscan.report.thumbnail_files import NAME_BYTES, ThumbnailSource

    features, groups = make_blobs(n_images, 16, centers=10, cluster_std=4.0, random_state=0)
    random = np.random.RandomState(0)
    run = Run(
        run_id=f"made-up-{n_images}",
        summary={"folder": "made-up", "seconds": {"total": 1.0}},
        paths=[f"made-up/{i}.png" for i in range(n_images)],
        clusters=groups,
        confidence=random.beta(8, 1, n_images),
        second=(groups + 1) % 10,
        neighbors=NeighborMiner(20).fit_transform(features.astype(np.float32)),
        n_clusters=10,
        skipped=[],
        model=None,
        read=np.arange(n_images),
    )
    started = time.perf_counter()
    data = build_page_data(run)
    print(f"data of the page   {time.perf_counter() - started:.2f} s (map included)")
    thumbnails = [_png(image) for image in load_digits().images[:500]]
    names = [i.to_bytes(NAME_BYTES, "big") for i in range(1, n_images + 1)]
    chosen = [names[row] for row in data.shown]
    write_page(
        folder, data, ThumbnailSource(chosen, lambda rows: (thumbnails[i % 500] for i in rows))
    )
    return folder / "report.html"


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((image * 15).astype(np.uint8)).resize((128, 128)).save(file, "WEBP")
    return file.getvalue()


def start_browser() -> Any:
    """Start chromium without a window."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(argument)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(120)
    return driver


def ready(driver: Any) -> None:
    while driver.execute_script("return document.documentElement.dataset.ready") != "yes":
        time.sleep(0.02)


def longest_frame(driver: Any, action: Any) -> str:
    """Run an action in the page and return its longest frame, and how many frames there were."""
    driver.execute_script(LONGEST_FRAME)
    action()
    time.sleep(0.3)
    frames = driver.execute_script("window.watching_ = false; return window.frames_.slice(1)")
    return f"{max(frames):6.0f} ms   (median {np.median(frames):.0f} ms, {len(frames)} frames)"


SCROLL = """
const element = arguments[0] || document.scrollingElement;
const [distance, done] = [arguments[1], arguments[2]];
let top = 0;
function step() {
  top += distance;
  element.scrollTop = top;
  if (top < element.scrollHeight - element.clientHeight && top < 60000) requestAnimationFrame(step);
  else done();
}
requestAnimationFrame(step);
"""


def measure(path: Path) -> None:
    from selenium.webdriver import ActionChains

    driver = start_browser()
    driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    try:
        for attempt in ("first", "second"):
            driver.get(path.absolute().as_uri())
            ready(driver)
            paint, loaded = driver.execute_script(
                """const paint = performance.getEntriesByName("first-contentful-paint")[0];
                const navigation = performance.getEntriesByType("navigation")[0];
                return [paint.startTime, navigation.domContentLoadedEventEnd];"""
            )
            metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
            thread = next(m["value"] for m in metrics if m["name"] == "TaskDuration")
            print(f"main thread        {1000 * thread:6.0f} ms")
            print(
                f"first paint        {paint:6.0f} ms   (whole page read after {loaded:.0f} ms, "
                f"{attempt} time)"
            )
        scroll = longest_frame(driver, lambda: driver.execute_async_script(SCROLL, None, 60))
        print(f"scroll the page    {scroll}")
        driver.execute_script("skscan.showClass(skscan.review.list()[0].id, 'typical')")
        time.sleep(1)
        gallery = driver.find_element("css selector", "dialog .gallery")
        scroll = longest_frame(driver, lambda: driver.execute_async_script(SCROLL, gallery, 60))
        print(f"scroll a class     {scroll}")
        driver.execute_script("document.querySelector('dialog').close()")
        driver.execute_script(
            "document.querySelector('.map-frame').scrollIntoView({block: 'center'})"
        )
        time.sleep(1)
        canvas = driver.find_element("css selector", "#map canvas")
        driver.execute_script("arguments[0].focus()", canvas)
        zoom = ActionChains(driver)
        for _ in range(10):
            zoom.send_keys("+")
        for _ in range(10):
            zoom.send_keys("-")
        print(f"zoom the map       {longest_frame(driver, zoom.perform)}")
        driver.execute_script(
            """[...document.querySelectorAll("#map button")]
                .find((button) => button.textContent === "Lasso").click()"""
        )
        lasso = ActionChains(driver, duration=10)
        lasso.move_to_element_with_offset(canvas, -250, -200).click_and_hold()
        for number in range(40):
            angle = 2 * np.pi * number / 40
            lasso.move_by_offset(round(40 * np.cos(angle)), round(32 * np.sin(angle)))
        lasso.release()
        print(f"lasso              {longest_frame(driver, lasso.perform)}")
        print(f"                   {driver.find_element('css selector', '.map-panel span').text}")
    finally:
        driver.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", nargs="?", type=Path, help="results of `skscan cluster`")
    parser.add_argument("--images", type=int, default=50_000, help="of a made-up report")
    arguments = parser.parse_args()
    if arguments.out is not None:
        measure(arguments.out / "report.html")
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(made_up_report(Path(folder), arguments.images))


if __name__ == "__main__":
    main()
