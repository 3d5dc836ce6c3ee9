"""Who drives in the page's dream: C, keys or a finger; and how a dream ends."""

import pytest

from tests.page.browsing import lose, open_page, value, wait
from tests.page.conftest import LOADED, PATIENCE


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
    page = open_page(browser, serve(site), reduced_motion="reduce")
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
