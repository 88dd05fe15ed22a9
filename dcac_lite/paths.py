"""Where things are: shipped weights inside the package; data, runs and other weights inside the clone."""

import os
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CLONE = PACKAGE.parent
LITE_WEIGHTS = PACKAGE / "weights"


def _folder(variable: str, name: str) -> Path:
    return Path(os.environ[variable]) if os.environ.get(variable) else CLONE / name


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
    """Folder of figures and of the studies' tables: `figures/` in the clone."""
    return CLONE / "figures"


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
