"""A visitor's page: drives, hands over, shows, and says what is wrong when something is."""

import math
import os
import shutil
from pathlib import Path

import pytest

from commands.page import bytes_to_send
from tests.page.conftest import LOADED, PATIENCE, TROUBLE

MOST = 12e6  # bytes sent
WIDTHS = {"wide": (1200, 900), "narrow": (390, 844)}


def value(page, expression: str):
    return page.evaluate(f"() => {expression}")


def wait(page, expression: str, seconds: float = 20) -> None:
    """Wait until an expression of the page is true; the page's own policy forbids `eval`."""
    for _ in range(int(seconds * 10)):
        if value(page, expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{expression} did not come true")


def shown(page, selector: str) -> str:
    """The picture on a canvas, as text that differs with it."""
    return page.eval_on_selector(selector, "canvas => canvas.toDataURL()")


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
    page.close()


def test_what_is_sent_is_small(site):
    size = bytes_to_send(site)
    print(f"\n{size / 1e6:.1f} MB in all")
    assert size < MOST


def test_keys_steer_and_take_the_wheel(page):
    assert page.text_content("#who") == "C drives"
    page.keyboard.down("ArrowLeft")
    wait(page, "page.driving.controls.steering < -0.9")
    assert page.text_content("#who") == "You drive"
    page.keyboard.down("KeyW")
    wait(page, "document.getElementById('gas').value === 1")
    page.keyboard.up("KeyW")
    page.keyboard.up("ArrowLeft")
    wait(page, "page.driving.controls.steering === 0")
    page.keyboard.down("KeyS")
    wait(page, "document.getElementById('brake').value > 0.5")


def test_c_takes_over_again(page):
    page.click("#driver")
    assert page.text_content("#who") == "You drive"
    page.click("#driver")
    assert page.text_content("#who") == "C drives"
    assert page.text_content("#told") == "C drives."


def test_driving_badly_ends_the_dream_and_another_start_begins_one(page):
    page.keyboard.down("ArrowLeft")
    page.keyboard.down("ArrowUp")
    wait(page, "page.driving.over", 60)
    assert page.is_visible("#ended")
    assert "lost" in page.text_content("#told")
    page.keyboard.up("ArrowLeft")
    page.keyboard.up("ArrowUp")
    page.keyboard.press("r")
    assert not page.is_visible("#ended")
    page.click("#driver")
    wait(page, "page.driving.dream.steps > 20")


def test_a_finger_steers(site, serve, browser):
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(serve(site))
    page.wait_for_selector(LOADED, state="attached", timeout=PATIENCE)
    box = page.locator("#dream").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = context.new_cdp_session(page)

    def finger(kind: str, *points: dict) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    finger("touchStart", {"x": x, "y": y})
    finger("touchMove", {"x": x + 40, "y": y - 60})
    wait(page, "page.driving.controls.steering > 0.2")
    wait(page, "document.getElementById('gas').value > 0.2")
    assert page.text_content("#who") == "You drive"
    finger("touchEnd")
    wait(page, "page.driving.controls.steering === 0")
    assert value(page, "document.documentElement.scrollWidth") <= 390  # nothing sticks out
    context.close()


def test_the_temperature_counts_where_the_next_picture_is_drawn(page):
    assert page.is_disabled("#temperature")
    page.check("#sampled")
    assert page.is_enabled("#temperature")
    page.fill("#temperature", "0.5")
    assert page.text_content("#temperature-value") == "0.50"
    assert value(page, "page.driving.options") == {"temperature": 0.5, "sampled": True}
    before = value(page, "page.driving.dream.steps")
    wait(page, f"page.driving.dream.steps > {before + 10}")


def test_the_lap_is_shown_step_by_step(page):
    pictures = {name: shown(page, f"#{name}") for name in ("track", "seen", "expected")}
    assert len(set(pictures.values())) == 3
    page.focus("#step")
    page.keyboard.press("End")
    wait(page, "!page.reality.busy")
    assert all(shown(page, f"#{name}") != picture for name, picture in pictures.items())
    last = value(page, "page.reality.length")
    assert page.text_content("#step-value") == f"step {last} of {last}"
    assert page.text_content("#who") == "C drives"  # keys in a slider steer no car
    page.focus("#step")
    page.keyboard.press("Home")
    page.click("#play")
    wait(page, "Number(page.reality.slider.value) > 20")


def test_a_slider_moves_the_picture_of_its_latent(page):
    before = shown(page, "#decoded")
    slider = page.locator("#sliders input").first
    slider.fill("3")
    wait(page, "!page.latents.busy")
    assert shown(page, "#decoded") != before
    page.click("#mean")
    wait(page, "!page.latents.busy")
    assert shown(page, "#decoded") == before and slider.input_value() == "0"
    page.click("#take-latents")
    wait(page, "!page.latents.busy")
    assert shown(page, "#decoded") != before


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
    assert page.locator("#contributions li").count() == 3 * 6


@pytest.mark.parametrize("name", ["decoder.onnx", "contents.json", "numbers.bin"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_missing_or_damaged_file_is_named(site, serve, browser, tmp_path, name, damage):
    folder = shutil.copytree(site, tmp_path / "site")
    path = folder / "data" / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    page = browser.new_page()
    page.goto(serve(folder))
    page.wait_for_selector(TROUBLE, timeout=PATIENCE)
    said = page.text_content("#trouble")
    assert f"data/{name} is {'missing' if damage == 'missing' else 'damaged'}" in said
    assert not page.is_visible("#parts")
    page.close()


def test_without_webassembly_it_says_so(site, serve, browser):
    page = browser.new_page()
    page.add_init_script("delete window.WebAssembly")
    page.goto(serve(site))
    page.wait_for_selector(TROUBLE, timeout=PATIENCE)
    assert "needs WebAssembly" in page.text_content("#trouble")
    page.close()


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
    page.click("#take-latents")
    wait(page, "!page.latents.busy")
    kept = os.environ.get("WM_PICTURES")
    folder = Path(kept) if kept else tmp_path
    for part in ("dream", "reality", "latents", "controller"):
        picture = folder / f"{part}-{width}{'-dark' if scheme == 'dark' else ''}.png"
        page.locator(f"#part-{part}").screenshot(path=picture)
        assert picture.stat().st_size > 5000
    assert value(page, "document.documentElement.scrollWidth") <= wide
    page.close()
