"""The status page of a demo in headless Chromium; run as a program, writes the pictures of deploy/status."""

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.e2e.workers import clean_environment

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES: Final = Path(__file__).parents[2] / "deploy" / "status"

Scheme = Literal["light", "dark"]
WIDE: Final = (1200, 900)
PHONE: Final = (360, 740)

_SHOTS: Final[dict[str, tuple[Scheme, tuple[int, int]]]] = {
    "light": ("light", WIDE),
    "dark": ("dark", WIDE),
    "phone": ("light", PHONE),
}


@contextmanager
def running_demo(rate: int = 200) -> Iterator[str]:
    """Run the demo; yields the address of its worker's status page."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "demo", "--rate", str(rate)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        start_new_session=True,
        text=True,
    )
    try:
        assert demo.stderr
        said = next(line for line in demo.stderr if line.startswith("Status page: "))
        yield said.split()[-1]
    finally:
        os.killpg(demo.pid, signal.SIGINT)
        demo.communicate(timeout=60)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Start the system's Chromium, which reaches nothing but this machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, address: str, scheme: Scheme = "light", size: tuple[int, int] = WIDE
) -> Iterator[Page]:
    """Open the page, and wait until it tells of escalations."""
    context = browser.new_context(
        color_scheme=scheme,
        viewport={"width": size[0], "height": size[1]},
        timezone_id="Asia/Kuala_Lumpur",
    )
    page = context.new_page()
    try:
        # The worker has a lexicon to compile, where nobody has on this machine.
        for _ in range(60):
            try:
                page.goto(address)
                break
            except Error:  # it does not listen yet
                page.wait_for_timeout(1000)
        expect(page.locator("#recent time")).not_to_have_count(0, timeout=60_000)
        yield page
    finally:
        context.close()


def main() -> None:
    """Write the pictures, after a minute of traffic."""
    PICTURES.mkdir(exist_ok=True)
    with running_demo() as address, browsing() as browser:
        for name, (scheme, size) in _SHOTS.items():
            with opened(browser, address, scheme, size) as page:
                page.wait_for_timeout(60_000 if name == "light" else 3_000)
                # 128 colours are all there are, but for the edges of letters.
                with Image.open(io.BytesIO(page.screenshot(full_page=True))) as picture:
                    picture.quantize(128).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
