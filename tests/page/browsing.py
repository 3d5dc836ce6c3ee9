"""What tests do with a page that is open in a browser."""


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


def open_page(browser, address: str, **options):
    """A page that is being loaded."""
    page = browser.new_page(**options)
    page.goto(address)
    return page
