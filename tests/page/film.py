"""Film the page while keys drive in the dream, for the README: `python -m tests.page.film`.

The keys are pressed by a script that steers as C would, as far as keys can.
"""

import io
import shutil
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from commands.page import SITE, server
from tests.page.conftest import LOADED

FILM = Path("results/page/driving.gif")
MOMENT = 13  # at which the dream begins
FRAMES, WIDTH, COLOURS, MS = 40, 440, 48, 120
STRAYED = 5  # pictures off the road, after which it ends
KEYS = """() => {
  const { driving } = page, held = new Set(), before = driving.onStep;
  const press = (code, down) => {
    if (down === held.has(code)) return;
    down ? held.add(code) : held.delete(code);
    document.dispatchEvent(new KeyboardEvent(down ? "keydown" : "keyup", { code, bubbles: true }));
  };
  driving.another(%d);
  driving.take();
  driving.onStep = async (...told) => {
    before(...told);
    const [steering, gas, brake] = await driving.dream.act();
    const turn = steering - driving.controls.steering;
    press("ArrowRight", turn > 0.06);
    press("ArrowLeft", turn < -0.06);
    press("ArrowUp", gas > 0.45 && brake < 0.1 && driving.dream.speed < 45);
    press("ArrowDown", brake > 0.25);
  };
}"""


def film() -> list[Image.Image]:
    """Pictures of the page, until the car has left the road or there are FRAMES."""
    frames: list[Image.Image] = []
    with server(SITE, 0) as serving, sync_playwright() as playwright:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 780, "height": 900})
        page.goto(f"http://127.0.0.1:{serving.server_port}/")
        page.wait_for_selector(LOADED, state="attached")
        page.evaluate(KEYS % MOMENT)
        clip = page.locator("#part-dream .stage").bounding_box()
        clip["height"] = page.locator("#dream").bounding_box()["height"]
        off_road = "() => page.driving.over ? 2 : page.driving.dream.offRoad"
        strayed = 0  # pictures in a row
        while len(frames) < FRAMES and strayed < STRAYED:
            strayed = strayed + 1 if page.evaluate(off_road) > 0.9 else 0
            frames.append(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB"))
            page.wait_for_timeout(60)
        browser.close()
        serving.shutdown()
    return frames


def main() -> None:
    frames = film()
    size = WIDTH, round(WIDTH * frames[0].height / frames[0].width)
    small = [frame.resize(size, Image.Resampling.LANCZOS) for frame in frames]
    first, *rest = (frame.quantize(COLOURS, dither=Image.Dither.NONE) for frame in small)
    first.save(FILM, save_all=True, append_images=rest, duration=MS, loop=0, optimize=True)
    print(f"{FILM}: {len(frames)} pictures, {FILM.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
