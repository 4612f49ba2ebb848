"""The status page of a demo in headless Chromium; run as a program, writes the pictures of deploy.

One more is of Prometheus' page of alerts, shortly after a worker was killed.
"""

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

from PIL import Image
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from pipeline.embedded import embedded_broker
from tests.e2e.brokers import Broker
from tests.e2e.watching import Watch, until
from tests.e2e.workers import Site, clean_environment

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
DEPLOY: Final = Path(__file__).parents[2] / "deploy"

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
    with browsing() as browser:
        _alerts(browser)
        with running_demo() as address:
            for name, (scheme, size) in _SHOTS.items():
                with opened(browser, address, scheme, size) as page:
                    page.wait_for_timeout(60_000 if name == "light" else 3_000)
                    _write(page, DEPLOY / "status" / f"{name}.png")


def _alerts(browser: Browser) -> None:
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory()))
        broker = Broker("embedded", running.enter_context(embedded_broker()))
        site = running.enter_context(Site.make(broker, folder, lambda name: f"penjaga.{name}"))
        worker = site.start()
        (folder / "watch").mkdir()
        watch = running.enter_context(Watch(folder / "watch", {"penjaga": site.port}))
        until(lambda: watch.ask("up == 1") != [], 60)
        worker.kill()
        until(lambda: ("PenjagaWorkerDown", "penjaga") in watch.alerts(), 60)
        page = browser.new_page(viewport={"width": WIDE[0], "height": WIDE[1]})
        page.goto(f"{watch.address}/classic/alerts")
        page.wait_for_timeout(1_000)
        _write(page, DEPLOY / "prometheus" / "alerts.png")


def _write(page: Page, path: Path) -> None:
    # 128 colours are all there are, but for the edges of letters.
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as picture:
        picture.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
