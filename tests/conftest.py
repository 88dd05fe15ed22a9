"""Shared fixtures: everything a test writes goes to a folder of the session."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# before dcac_lite is imported anywhere, in this process and in those it starts
_folder = tempfile.mkdtemp(prefix="dcac-tests-")
os.environ["DCAC_RUNS"] = f"{_folder}/runs"
os.environ["TQDM_DISABLE"] = "1"
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # several processes share the cores
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))


@pytest.fixture(scope="session")
def smoke_data():
    """The smoke tier's slice of MA as a training set."""
    from dcac_lite import load_domain, training_set

    return training_set([load_domain("MA", "smoke")])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """All four data sets, small; MSMT17 as V2 list files. Read only; copy what a test changes."""
    from folders import SIZE

    from dcac_lite.tools.rehearsal_data import write_tiny_datasets

    return write_tiny_datasets(tmp_path_factory.mktemp("tiny") / "data", size=SIZE)


@pytest.fixture
def copy(tiny, tmp_path):
    """The four small data sets, to change."""
    return Path(shutil.copytree(tiny, tmp_path / "data"))


@pytest.fixture
def tree(tmp_path):
    """A right data set: two training identities, one query, one match in another camera, one stranger."""
    from fuzzing import photograph

    from dcac_lite.data.registry import FOLDERS

    root = tmp_path / "mine"
    names = {"train": ("0001_c1_0", "0002_c2_1"), "query": ("0003_c1_2",), "gallery": ("0003_c2_3", "0004_c1_4")}
    for split, files in names.items():
        (root / FOLDERS[split]).mkdir(parents=True)
        for k, name in enumerate(files):
            (root / FOLDERS[split] / f"{name}.jpg").write_bytes(photograph(seed=ord(split[0]) + k))
    return root


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """An empty weights folder, an empty hub cache, no network, and a small CLIP in open_clip's registry."""
    import huggingface_hub
    import open_clip
    from tiny_weights import TINY

    monkeypatch.setenv("DCAC_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    known, registered = open_clip.get_model_config, open_clip.get_pretrained_cfg
    entry = {"url": "https://example.org/Tiny.pt", "hf_hub": "owner/tiny.openai/", "quick_gelu": True}
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: {**TINY} if name == "Tiny" else known(name))
    monkeypatch.setattr(
        open_clip,
        "get_pretrained_cfg",
        lambda name, tag: entry if (name, tag) == ("Tiny", "openai") else registered(name, tag),
    )
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder of one's own for predictions, and no scheme left behind."""
    from collections import Counter

    from dcac_lite import SCHEMES

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dcac_lite.workshop.desk._hinted", Counter())
    before = dict(SCHEMES)
    yield
    SCHEMES.clear()
    SCHEMES.update(before)


def browser_binary(playwright) -> str | None:
    """Chromium or Chrome of the system, or the one that playwright installed."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    own = playwright.chromium.executable_path
    return found or (own if Path(own).exists() else None)


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    with api.sync_playwright() as playwright:
        binary = browser_binary(playwright)
        if binary is None:
            pytest.skip("no browser is installed: apt-get install chromium, or playwright install chromium")
        running = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield running
        running.close()


def pytest_sessionfinish():
    shutil.rmtree(_folder, ignore_errors=True)
