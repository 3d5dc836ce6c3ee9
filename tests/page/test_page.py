"""A visitor's page: drives, hands over, shows, and says what is wrong when something is."""

import math
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

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


def wait_for_change(page, selector: str, before: str) -> None:
    """Wait until a canvas shows another picture than `before`."""
    for _ in range(200):
        if shown(page, selector) != before:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{selector} shows the same as before")


def lose(page) -> None:
    """Drive so badly that M takes the car for lost."""
    page.keyboard.down("ArrowLeft")
    page.keyboard.down("ArrowUp")
    wait(page, "page.driving.over", 60)
    page.keyboard.up("ArrowLeft")
    page.keyboard.up("ArrowUp")


def opened(browser, address: str, **options):
    """A page that is being loaded."""
    page = browser.new_page(**options)
    page.goto(address)
    return page


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
    page = opened(context, serve(site))
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


def test_keys_steer_and_take_the_wheel(page):
    assert page.text_content("#who") == "C drives"
    page.keyboard.down("ArrowLeft")
    wait(page, "page.driving.controls.steering < -0.3")
    page.keyboard.up("ArrowLeft")
    assert page.text_content("#who") == "You drive"
    wait(page, "page.driving.controls.steering === 0 || page.driving.over")
    page.keyboard.press("r")
    page.keyboard.down("KeyW")
    wait(page, "document.getElementById('gas').value === 1")
    page.keyboard.up("KeyW")
    page.keyboard.press("r")
    page.keyboard.down("KeyS")
    wait(page, "document.getElementById('brake').value > 0.5")


def test_keys_meant_for_another_part_steer_no_car(page):
    page.focus("#mean")
    for key in ("ArrowLeft", "w", "r"):
        page.keyboard.press(key)
    assert page.text_content("#who") == "C drives"
    assert value(page, "page.driving.moment") == 0
    page.focus("#dream")
    page.keyboard.press("ArrowUp")
    assert page.text_content("#who") == "You drive"


def test_it_dreams_only_while_that_can_be_seen(page):
    page.locator("#part-latents").scroll_into_view_if_needed()
    page.set_viewport_size({"width": 1200, "height": 300})
    page.locator("#sliders").scroll_into_view_if_needed()
    wait(page, "!page.driving.inView")
    before = value(page, "page.driving.dream.steps")
    page.wait_for_timeout(500)
    assert value(page, "page.driving.dream.steps") <= before + 1  # one was under way
    page.locator("#dream").scroll_into_view_if_needed()
    wait(page, f"page.driving.dream.steps > {before + 20}")


def test_who_wants_less_motion_starts_the_dream(site, serve, browser):
    page = opened(browser, serve(site), reduced_motion="reduce")
    page.wait_for_selector(LOADED, state="attached", timeout=PATIENCE)
    assert page.text_content("#pause") == "Start"
    page.wait_for_timeout(300)
    assert value(page, "page.driving.dream.steps") == 0
    page.click("#pause")
    wait(page, "page.driving.dream.steps > 10")
    page.close()


def test_c_takes_over_again(page):
    page.click("#driver")
    assert page.text_content("#who") == "You drive"
    page.click("#driver")
    assert page.text_content("#who") == "C drives"
    assert page.text_content("#told") == "C drives."


def test_driving_badly_ends_the_dream_and_another_start_begins_one(page):
    lose(page)
    assert page.is_visible("#ended") and not page.is_visible("#pause")
    assert "lost" in page.text_content("#told")
    steps = value(page, "page.driving.dream.steps")
    page.keyboard.press("ArrowUp")  # a key that was still wanted begins nothing
    page.wait_for_timeout(200)
    assert value(page, "page.driving.dream.steps") == steps
    page.keyboard.press("r")
    assert not page.is_visible("#ended") and page.is_visible("#pause")
    page.click("#driver")
    wait(page, "page.driving.dream.steps > 20")


def test_a_dream_that_leaves_all_that_m_knows_is_over(page):
    page.evaluate("() => { page.driving.dream.latents[33] = 1e6; }")
    wait(page, "page.driving.over")
    assert "M has never seen anything like this." in page.text_content("#ended")


@pytest.mark.parametrize("button", ["#again", "#another", "#driver"])
def test_every_button_begins_a_new_dream_where_one_is_over(page, button):
    lose(page)
    page.click(button)
    assert not page.is_visible("#ended")
    driver = "C drives" if button == "#driver" else "You drive"
    assert page.text_content("#who") == driver
    wait(page, "page.driving.dream.steps > 5")
    assert value(page, "page.driving.moment") == 1


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
    second = {"x": x - 80, "y": y + 80, "id": 1}
    finger("touchStart", {"x": x + 40, "y": y - 60, "id": 0}, second)
    page.wait_for_timeout(100)
    assert value(page, "page.driving.controls.steering") > 0.2 or value(page, "page.driving.over")
    finger("touchEnd")
    assert value(page, "page.driving.controls.pull") is None
    assert value(page, "document.documentElement.scrollWidth") <= 390  # nothing sticks out
    context.close()


def test_the_temperature_can_be_set_where_the_next_picture_is_sampled(page):
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


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("ort/ort.wasm.min.mjs", "missing", "ort/ort.wasm.min.mjs is missing"),
        ("ort/ort.wasm.min.mjs", "truncated", "ort/ort.wasm.min.mjs is missing or damaged"),
        ("ort/ort-wasm-simd-threaded.wasm", "missing", "threaded.wasm is missing (404)"),
        ("ort/ort-wasm-simd-threaded.wasm", "truncated", "runtime in ort/ could not be started"),
        ("ort/ort-wasm-simd-threaded.mjs", "missing", "runtime in ort/ could not be started"),
        ("src/draw.js", "missing", "A script of this page, in src/, is missing or damaged"),
        ("src/main.js", "truncated", "A script of this page, in src/, is missing or damaged"),
    ],
)
def test_a_missing_or_damaged_part_of_the_page_is_told(
    site, serve, browser, tmp_path, name, damage, told
):
    folder = shutil.copytree(site, tmp_path / "site")
    path = folder / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    page = opened(browser, serve(folder))
    page.wait_for_selector(TROUBLE, timeout=PATIENCE)
    assert told in page.text_content("#trouble")
    assert not page.is_visible("#parts") and not page.is_visible("#loading")
    page.close()


def test_opened_as_a_file_it_says_what_it_needs(site, browser):
    page = opened(browser, (site / "index.html").as_uri())
    page.wait_for_selector(TROUBLE, timeout=PATIENCE)
    assert '"make page" serves it' in page.text_content("#trouble")
    page.close()


@pytest.mark.parametrize(
    "without", ["delete window.WebAssembly", "WebAssembly.validate = () => false"]
)
def test_without_webassembly_or_simd_it_says_so(site, serve, browser, without):
    page = browser.new_page()
    page.add_init_script(without)
    page.goto(serve(site))
    page.wait_for_selector(TROUBLE, timeout=PATIENCE)
    assert "needs WebAssembly with SIMD" in page.text_content("#trouble")
    page.close()


def test_an_error_later_is_told_in_place_of_the_parts(site, serve, browser):
    page = opened(browser, serve(site))
    page.wait_for_selector(LOADED, state="attached", timeout=PATIENCE)
    page.evaluate("() => { page.latents.models = {}; }")
    page.click("#mean")
    page.wait_for_selector(TROUBLE, timeout=PATIENCE)
    assert "Something broke" in page.text_content("#trouble")
    assert not page.is_visible("#parts")
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
