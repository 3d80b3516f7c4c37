"""A real browser for tests: Debian's chromium, or Chrome, without a window."""

import json
import shutil
import time
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser_or_skip(downloads: Path):
    """Start a browser, or skip the test with the reason why there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--window-size=1280,900",
    ):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def wait_for_download(folder: Path, seconds: float = 10) -> Path:
    """Return the one JSON file in a folder, as soon as it is there."""
    end = time.monotonic() + seconds
    while not (found := list(folder.glob("*.json"))):
        assert time.monotonic() < end, "nothing was downloaded"
        time.sleep(0.02)
    return found[0]


class Page:
    """A report in the browser."""

    def __init__(self, driver, path: Path | str):
        self.driver = driver
        self.path = path
        self.loaded = path.as_uri() if isinstance(path, Path) else path

    def open(self):
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(self.loaded)
        self.wait("document.documentElement.dataset.ready === 'yes'")
        return self

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.run(f"return Boolean({condition})"):
                return
            time.sleep(0.02)
        log = self.driver.get_log("browser")
        raise AssertionError(f"never came true: {condition}; console: {log}")

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def press(self, text, within="document"):
        """Press the button that begins with `text`, in the window on top if there is one."""
        if within != "document":
            within = f"document.querySelector({json.dumps(within)})"
        found = self.run(
            f"""const button = [...{within}.querySelectorAll("button")]
                .find((b) => b.textContent.startsWith(arguments[0]) && !b.disabled);
            if (button) button.click();
            return Boolean(button);""",
            text,
        )
        assert found, f"no button {text!r}"

    def go_to(self, selector):
        """Scroll to an element and wait until its card is drawn."""
        self.run("document.querySelector(arguments[0]).scrollIntoView()", selector)
        self.wait(f"document.querySelector({json.dumps(selector)}).childElementCount > 0")

    def text(self, selector):
        return self.find(selector).text

    def complaints(self):
        """What the console says, and addresses that were asked for outside of the page's place."""
        console = [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        own = "file:" if isinstance(self.path, Path) else self.path
        inside = (own, "data:", "blob:", "about:")
        return console + [url for url in asked if not url.startswith(inside)]
