"""JupyterLab, voila and an exported notebook in a real browser: an explorer runs, a slider moved by keyboard changes
the picture and says so, and axe-core has nothing serious to say against the pages."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter

from dcac_lite.paths import CLONE

SECONDS = 180  # that a busy machine may take for one step
PAGE = CLONE / "notebooks" / "pages" / "retrieval.ipynb"


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.set_default_timeout(1000 * SECONDS)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on(
        "console",
        lambda message: page.errors.append(message.text) if message.type == "error" and local(message) else None,
    )
    yield page
    page.close()


def local(message) -> bool:
    """Is a console message about something that this machine served? voila asks the internet for MathJax."""
    return message.location["url"].startswith("http://127.0.0.1")


@pytest.fixture
def notebook(tmp_path) -> Path:
    """The retrieval page, small: the smoke tier's data and a model that needs no training."""
    page = nbformat.read(PAGE, as_version=4)
    parameters = next(c for c in page.cells if "parameters" in c.metadata.get("tags", []))
    parameters.source = parameters.source.replace('"lite"', '"smoke"')
    code = page.cells[-1]
    lines = code.source.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("for name, conditioning"))
    end = next(k for k, line in enumerate(lines) if k > start and not line.startswith(" "))  # what trains is indented
    code.source = "\n".join(lines[:start] + lines[end:])
    nbformat.write(page, tmp_path / "small.ipynb")
    return tmp_path / "small.ipynb"


@pytest.fixture
def serve(tmp_path):
    """Starts `python -m MODULE ARGUMENTS --port FREE` with a configuration of its own; gives its address."""
    started = []

    def start(module: str, *arguments: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        home = tmp_path / "home"
        variables = {f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")}
        log = open(tmp_path / f"{module}.log", "wb")
        command = [sys.executable, "-m", module, *arguments, f"--port={port}"]
        environment = os.environ | variables | {"IPYTHONDIR": str(home / "ipython"), "OMP_NUM_THREADS": "2"}
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT)
        started.append((process, log))
        address, until = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
        while True:  # a request would already start a kernel
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return address
            except OSError:
                assert process.poll() is None and time.monotonic() < until, Path(log.name).read_text()[-2000:]
                time.sleep(0.2)

    yield start
    for process, log in started:
        process.terminate()
        process.wait(SECONDS)
        log.close()


def move_the_query_by_keyboard(page) -> None:
    """Focus the query slider, press the right arrow, and see another query of the same domain."""
    query = page.locator('.dcac-explorer img[alt^="the query"]')
    query.wait_for()
    before, sentence = query.get_attribute("src"), page.get_by_role("paragraph").filter(has_text="average precision")
    assert "zero-shot on D" in sentence.inner_text()
    slider = page.locator(".dcac-explorer .noUi-handle")
    slider.focus()
    for _ in range(5):  # the first queries may be pictures of one person, but never the same picture
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelector('.dcac-explorer img[alt^=\"the query\"]').src !== before", arg=before
    )
    assert slider.get_attribute("role") == "slider" and float(slider.get_attribute("aria-valuenow")) == 5
    assert page.get_by_role("slider", name="query", exact=True).get_attribute("aria-valuetext") == "5"
    assert slider.evaluate("handle => getComputedStyle(handle).outlineStyle") == "solid"  # one sees where one is
    said = page.get_by_role("group", name="Retrieval explorer").get_by_role("status")
    page.wait_for_function("said => said.textContent.includes('query 5:')", arg=said.element_handle())


def serious_violations(page) -> dict[str, list]:
    """What axe-core finds on a page that keeps somebody from using it: the first places, by rule."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    # preload: style sheets are asked for once more, which browsers refuse on file://
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]
    return {v["id"]: [n["html"] for n in v["nodes"][:3]] for v in found if v["impact"] in ("serious", "critical")}


def test_jupyterlab_runs_an_explorer(page, serve, notebook, tmp_path):
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (tmp_path / "home" / "CONFIG" / "labconfig").mkdir(parents=True)
    (tmp_path / "home" / "CONFIG" / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(quiet))
    address = serve("jupyter", "lab", "--no-browser", "--allow-root", "--IdentityProvider.token=")
    page.goto(f"{address}/lab/tree/{notebook.name}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("(ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    move_the_query_by_keyboard(page)
    assert not page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count()
    assert not page.errors


def test_voila_serves_an_explorer(page, serve, notebook):
    address = serve("voila", str(notebook), "--no-browser", "--Voila.ip=127.0.0.1")
    page.goto(address, wait_until="commit")
    move_the_query_by_keyboard(page)
    assert not page.locator("pre code, .jp-CodeCell .jp-InputArea-editor").count()  # an app, not a notebook
    assert serious_violations(page) == {}
    assert not page.errors


@pytest.mark.parametrize("name", ["04_conditioning", "A2_paper_and_code"])
def test_an_exported_notebook_can_be_read_by_everybody(page, name, tmp_path):
    exporter = HTMLExporter(template_name="book", extra_template_basedirs=[str(CLONE / "notebooks" / "templates")])
    notebook = nbformat.read(CLONE / "notebooks" / f"{name}.ipynb", as_version=4)
    (tmp_path / "page.html").write_text(exporter.from_notebook_node(notebook)[0])
    page.route(re.compile("^https?:"), lambda route: route.abort())  # MathJax's home
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator(".jp-RenderedImage img").count() and serious_violations(page) == {}
    described = page.locator(".jp-RenderedImage img").evaluate_all("images => images.map(image => image.alt.length)")
    assert min(described) >= 40
