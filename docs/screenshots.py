"""Makes the README's images: `make screenshots` (needs Chromium)."""

from pathlib import Path

from playwright.sync_api import sync_playwright

from core.benchmarks.page import CHROMIUM, server

IMAGES = Path(__file__).parent / "images"
# file -> address
PICTURES = {
    "explore-light": "/",
    "explore-dark": "/?embed_options=dark_theme",
    "who-exits-where-light": "/who",
    "try-an-image-light": "/try",
    "cost-weight-light": "/cost",
    "models-light": "/models",
    "train-light": "/train",
}
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def main() -> None:
    """One picture per address at 1440x900, when the page has come to rest."""
    IMAGES.mkdir(exist_ok=True)
    with server() as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, path in PICTURES.items():
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(address + path)
            page.wait_for_selector(IDLE, timeout=60_000)
            page.wait_for_timeout(8_000)  # the travelling image and the charts come to rest
            page.screenshot(path=IMAGES / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
