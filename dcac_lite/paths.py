"""Where things are: shipped weights inside the package; data, runs and other weights inside the clone, or in
the working folder where the package is installed without one. Looked up when used, never on import."""

import os
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CLONE = PACKAGE.parent
IN_CLONE = (CLONE / "pyproject.toml").is_file()  # not among installed packages
LITE_WEIGHTS = PACKAGE / "weights"


def _root() -> Path:
    return CLONE if IN_CLONE else Path.cwd()


def _folder(variable: str, name: str) -> Path:
    return Path(os.environ[variable]) if os.environ.get(variable) else _root() / name


def data_root() -> Path:
    """Folder of the data sets: `$DCAC_DATA`, or `data/` in the clone."""
    return _folder("DCAC_DATA", "data")


def runs_root() -> Path:
    """Folder of the training runs: `$DCAC_RUNS`, or `runs/` in the clone."""
    return _folder("DCAC_RUNS", "runs")


def weights_root() -> Path:
    """Folder of pre-trained weights of others: `$DCAC_WEIGHTS`, or `weights/` in the clone."""
    return _folder("DCAC_WEIGHTS", "weights")


def figures_root() -> Path:
    """Folder of the published figures and of the studies' tables: `figures/` in the clone. Read by the
    notebooks; written to by the maintainers' commands only, which are told to (`--in-place`)."""
    return _root() / "figures"


def figures_folder(tier: str) -> Path:
    """Folder that the notebooks write their figures to: `$DCAC_FIGURES`, or `TIER/figures/` in the runs folder."""
    return Path(os.environ["DCAC_FIGURES"]) if os.environ.get("DCAC_FIGURES") else runs_root() / tier / "figures"


def results_folder(in_place: bool) -> Path:
    """Folder that studies write their tables to: `results/` in the runs folder, or, to publish them, in `figures/`."""
    return (figures_root() if in_place else runs_root()) / "results"


@contextmanager
def replacing(path: Path):
    """Yields a temporary name beside `path`; renames it to `path` when the block ends without an
    error and removes it otherwise, so that `path` is never half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.umask(mask := os.umask(0o077))
        temporary.chmod(0o666 & ~mask)  # safetensors makes files that nobody else may read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
