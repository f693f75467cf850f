"""The course in a real Chromium: `course.py lab` is started on a copy, the first lesson and its exercises are run.

The copy lies in a folder whose name has a space; JupyterLab saves into it while the test runs. The set-up of
`course.py lab` is left out (the copy borrows this environment), everything after it is the command's own. Skipped,
saying so, where Playwright or Chromium is missing.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on this machine"),
]

ROOT = Path(__file__).resolve().parent.parent
LESSON = "notebooks/00_start_here.ipynb"
QUERY = "a recipe for soup"
TOKEN = "course"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]

NOTEBOOK = ".jp-NotebookPanel"
ERROR = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']"  # so are tracebacks shown, too
# The toolbar shows "idle" before there is a kernel; "Run All" would then ask for one and wait for ever.
KERNEL_IS_IDLE = """() => {
    const widget = window.jupyterapp && window.jupyterapp.shell.currentWidget;
    const context = widget && widget.sessionContext;
    const kernel = context && context.isReady && context.session && context.session.kernel;
    return kernel && kernel.status === 'idle' && kernel.connectionStatus === 'connected' }"""
ALL_CELLS_RAN = """() => {
    const prompts = [...document.querySelectorAll('.jp-NotebookPanel .jp-CodeCell .jp-InputPrompt')];
    return prompts.length && prompts.every(prompt => /\\[\\d+\\]/.test(prompt.textContent)) }"""
NO_CELL_RAN = """() => {
    const prompts = [...document.querySelectorAll('.jp-NotebookPanel .jp-CodeCell .jp-InputPrompt')];
    return prompts.length && !prompts.some(prompt => /\\d/.test(prompt.textContent)) }"""
CLEAR_OUTPUTS = "() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"
WRITE = """source => {
    const cells = window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.sharedModel);
    cells.find(cell => cell.source.includes('def cosines(')).setSource(source) }"""
LENGTHS_MISSING = "def cosines(queries, sentences):\n    return queries @ sentences.T"
RIGHT = """def cosines(queries, sentences):
    unit = torch.nn.functional.normalize
    return unit(queries) @ unit(sentences).T"""
PICTURE_CHANGED = "([selector, before]) => document.querySelector(selector).src !== before"
# `course.py lab` from the moment on at which the environment is ready
START = "import sys, course, pathlib; course.PYTHON = pathlib.Path(sys.executable); course.start('lab', sys.argv[1:])"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(address, server, log):
    for _ in range(240):
        try:
            return urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=1).read()
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.25)
    raise AssertionError(f"no server after a minute:\n{log.read_text()}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that `course.py lab` started on a copy of the course."""
    home = tmp_path_factory.mktemp("home")
    copy = tmp_path_factory.mktemp("copies") / "my course"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "models"))
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR")
    folders = {f"JUPYTER{name}" if name.startswith("LAB") else f"JUPYTER_{name}": str(home / name) for name in names}
    env = dict(os.environ, HOME=str(home), IPYTHONDIR=str(home / "ipython"), **folders)
    port, log = free_port(), home / "lab.log"
    words = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    words += [f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"]
    with log.open("w") as output:
        command = [sys.executable, "-c", START, *words]
        server = subprocess.Popen(command, cwd=copy, env=env, stdout=output, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    wait_for(address, server, log)
    yield address
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()


@pytest.fixture(scope="module")
def page(lab, tmp_path_factory):
    """A page that may reach the server alone; what else it asks for is kept in `page.refused`."""
    refused = []

    def guard(route):
        if route.request.url.startswith((lab, "data:", "blob:")):
            route.continue_()
        else:
            refused.append(route.request.url)
            route.abort()

    with playwright.sync_playwright() as tool:
        profile = tmp_path_factory.mktemp("profile")
        browser = tool.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, chromium_sandbox=False, args=FLAGS
        )
        browser.route("**/*", guard)
        opened = browser.new_page()
        opened.refused = refused
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()


@pytest.fixture(scope="module")
def lesson(page, lab):
    """The page after it opened where `course.py lab` opens, lost its stored outputs and ran every cell."""
    page.goto(f"{lab}/?token={TOKEN}", wait_until="domcontentloaded")
    page.wait_for_selector(f"{NOTEBOOK} .jp-Notebook")
    run_all(page)
    page.wait_for_function(ALL_CELLS_RAN, timeout=180_000)
    page.wait_for_function(KERNEL_IS_IDLE)
    return page


def run_all(page):
    page.wait_for_function(KERNEL_IS_IDLE)
    page.evaluate(CLEAR_OUTPUTS)
    page.wait_for_function(NO_CELL_RAN)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator("li.lm-Menu-item[data-command='runmenu:run-all']").first.click()


def test_lab_opens_the_first_lesson(lesson):
    assert lesson.url.split("?")[0].endswith("/lab/tree/" + LESSON)


def test_every_cell_runs_without_error_or_warning(lesson):
    assert lesson.locator(f"{NOTEBOOK} .jp-OutputArea-output").count() > 0
    assert lesson.locator(f"{NOTEBOOK} .jp-OutputPlaceholder").count() == 0, "an output stayed folded after its run"
    assert lesson.locator(ERROR).all_inner_texts() == []


def test_the_explorer_answers_a_query_with_a_new_picture(lesson):
    box = lesson.locator(f"{NOTEBOOK} .jp-OutputArea-output .widget-text input").first
    picture = f"{NOTEBOOK} .jp-OutputArea-output img.widget-image"
    before = lesson.locator(picture).first.get_attribute("src")
    box.fill(QUERY)
    box.press("Enter")
    lesson.wait_for_function(PICTURE_CHANGED, arg=[picture, before])
    assert lesson.locator(ERROR).all_inner_texts() == []


def test_nothing_pops_up(lesson):
    assert lesson.locator(".jp-Dialog").all_inner_texts() == []
    assert lesson.locator(".Toastify__toast").all_inner_texts() == []


def test_the_whole_course_is_in_the_file_browser(lesson):
    lesson.locator(".jp-FileBrowser .jp-BreadCrumbs-home").click()
    lesson.get_by_role("listitem", name="course.py").wait_for()


def test_readme_opens_as_preview(page, lab):
    page.goto(f"{lab}/lab/tree/README.md?reset&token={TOKEN}", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-MarkdownViewer h1")


@pytest.mark.parametrize(
    ("answer", "words"),
    [(LENGTHS_MISSING, "[FAIL] cosines: These are dot products"), (RIGHT, "[FAIL] best: This is not written yet")],
    ids=["wrong", "right"],
)
def test_an_exercise_says_what_is_wrong_and_goes_on_from_what_is_right(page, lab, answer, words):
    page.goto(f"{lab}/lab/tree/exercises/00_start_here.ipynb?reset&token={TOKEN}", wait_until="domcontentloaded")
    page.wait_for_selector(f"{NOTEBOOK} .jp-Notebook")
    page.wait_for_function(KERNEL_IS_IDLE)
    page.evaluate(WRITE, answer)
    run_all(page)  # it stops at the first check that fails
    page.wait_for_selector(ERROR)
    assert page.locator(ERROR).inner_text().startswith(words)
    assert (answer == RIGHT) == ("[ OK ] cosines" in page.locator(NOTEBOOK).inner_text())


def test_the_page_asked_nobody_else(page):
    assert page.refused == []
