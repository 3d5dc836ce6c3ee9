"""A visitor's page: it loads, shows its parts, and keeps what it needs."""

import math
import os
from pathlib import Path

import pytest
from PIL import Image

from commands.page import bytes_to_send
from tests.page.browsing import open_page, shown, value, wait, wait_for_change
from tests.page.conftest import LOADED, PATIENCE

MOST = 12e6  # bytes sent
WIDTHS = {"wide": (1200, 900), "narrow": (390, 844)}


def test_it_dreams_by_itself_and_asks_nobody_else(site, serve, browser):
    asked = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    address = serve(site)
    page.goto(address)
    page.wait_for_selector(LOADED, state="attached", timeout=PATIENCE)
    wait(page, "page.driving.dream.steps > 100")
    print(f"\nfirst picture after {int(page.get_attribute('body', 'data-ready')) / 1000:.1f} s")
    print(f"{value(page, 'page.driving.rate'):.0f} pictures per second")
    assert value(page, "page.driving.dream.points") > 50
    foreign = [url for url in asked if not url.startswith((address, "blob:", "data:"))]
    assert foreign == [] and page.context.cookies() == []
    page.context.set_offline(True)
    before = value(page, "page.driving.dream.steps")
    wait(page, f"page.driving.dream.steps > {before + 50}")
    page.click("#another")
    assert value(page, "page.driving.dream.steps") < before
    wait(page, "page.driving.dream.steps > 20")
    page.close()


def test_a_second_visit_needs_no_connection(site, serve, browser):
    context = browser.new_context()
    page = open_page(context, serve(site))
    page.wait_for_selector("body[data-kept]", state="attached", timeout=PATIENCE)
    context.set_offline(True)
    page.reload()
    page.wait_for_selector(LOADED, state="attached", timeout=PATIENCE)
    wait(page, "page.driving.dream.steps > 20")
    context.close()


def test_what_is_sent_is_small(site):
    size = bytes_to_send(site)
    print(f"\n{size / 1e6:.1f} MB in all")
    assert size < MOST


def test_the_lap_is_shown_step_by_step(page):
    pictures = {name: shown(page, f"#{name}") for name in ("track", "seen", "expected")}
    assert len(set(pictures.values())) == 3
    page.focus("#step")
    page.keyboard.press("End")
    for name, picture in pictures.items():
        wait_for_change(page, f"#{name}", picture)
    last = value(page, "page.reality.length")
    assert page.text_content("#step-value") == f"step {last} of {last}"
    assert page.get_attribute("#step", "aria-valuetext") == f"step {last} of {last}"
    assert page.text_content("#who") == "C drives"  # keys in a slider steer no car
    page.click("#play")  # from its start, as it is at its end
    wait(page, "page.reality.slider.value > 20 && page.reality.slider.value < 400")
    page.click("#play")
    assert page.text_content("#play") == "Play"


def test_the_lap_is_played_to_its_end_as_fast_as_it_was_driven(page):
    last = value(page, "page.reality.length") - 1
    page.locator("#step").fill(str(last - 100))
    began = value(page, "performance.now()")
    page.click("#play")
    wait(page, f"Number(page.reality.slider.value) === {last}")
    assert value(page, "performance.now()") - began > 1900  # ms, of 100 steps
    wait(page, "page.reality.playing === null")


def test_a_slider_moves_the_picture_of_its_latent(page):
    before = shown(page, "#decoded")
    slider = page.locator("#sliders input").first
    slider.fill("3")
    wait_for_change(page, "#decoded", before)
    moved = shown(page, "#decoded")
    page.click("#mean")
    wait_for_change(page, "#decoded", moved)
    assert shown(page, "#decoded") == before and slider.input_value() == "0"
    page.click("#take-latents")
    wait_for_change(page, "#decoded", before)


def test_the_inputs_that_decide_add_up_to_c_s_action(page):
    page.click("#pause")
    told = value(
        page,
        """(async () => {
          const { dream } = page.driving, { controller } = page;
          const raw = [0, 1, 2].map((row) => controller.contributions(row, dream.z, dream.memory)
            .reduce((sum, [, share]) => sum + share, controller.bias[row]));
          return { raw, action: [...(await dream.act())] };
        })()""",
    )
    steering, gas, brake = map(math.tanh, told["raw"])
    assert told["action"] == pytest.approx([steering, (gas + 1) / 2, max(brake, 0)], abs=1e-5)
    assert page.locator("#contributions li").count() == 3 * 5
    assert "memory" in page.text_content("#contributions")


def test_every_control_has_a_name_and_every_picture_a_text(page):
    unnamed = value(
        page,
        """[...document.querySelectorAll("button, input, meter, canvas, progress")].filter(
          (e) => !(e.textContent.trim() || e.labels?.length || e.getAttribute("aria-label")))
          .map((e) => e.outerHTML)""",
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_of_each_part(site, serve, browser, tmp_path, width, scheme):
    """WM_PICTURES names a folder in which to keep them."""
    wide, high = WIDTHS[width]
    page = browser.new_page(viewport={"width": wide, "height": high}, color_scheme=scheme)
    page.goto(serve(site))
    page.wait_for_selector(LOADED, state="attached", timeout=PATIENCE)
    wait(page, "page.driving.dream.steps > 60")
    page.click("#pause")
    decoded = shown(page, "#decoded")
    page.click("#take-latents")
    wait_for_change(page, "#decoded", decoded)
    kept = os.environ.get("WM_PICTURES")
    folder = Path(kept) if kept else tmp_path
    for part in ("dream", "reality", "latents", "controller"):
        picture = folder / f"{part}-{width}{'-dark' if scheme == 'dark' else ''}.png"
        page.locator(f"#part-{part}").screenshot(path=picture)
        colours = Image.open(picture).convert("RGB").getcolors(1 << 24)
        assert len(colours or []) > 200  # not a blank part
    assert value(page, "document.documentElement.scrollWidth") <= wide
    page.close()
