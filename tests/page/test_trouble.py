"""The page says what is wrong, when something is."""

import shutil

import pytest

from tests.page.browsing import open_page
from tests.page.conftest import LOADED, PATIENCE, TROUBLE


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
    page = open_page(browser, serve(folder))
    page.wait_for_selector(TROUBLE, timeout=PATIENCE)
    assert told in page.text_content("#trouble")
    assert not page.is_visible("#parts") and not page.is_visible("#loading")
    page.close()


def test_opened_as_a_file_it_says_what_it_needs(site, browser):
    page = open_page(browser, (site / "index.html").as_uri())
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
    page = open_page(browser, serve(site))
    page.wait_for_selector(LOADED, state="attached", timeout=PATIENCE)
    page.evaluate("() => { page.latents.models = {}; }")
    page.click("#mean")
    page.wait_for_selector(TROUBLE, timeout=PATIENCE)
    assert "Something broke" in page.text_content("#trouble")
    assert not page.is_visible("#parts")
    page.close()
