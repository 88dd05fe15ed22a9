"""Where things are: shipped weights inside the package; data, runs and other weights inside the clone, or in
the working folder where the package is installed without one. In a clone that is somebody else's, what its owner made
is read from where it is, and what this user makes goes to `dcac-lite/` in the home folder. Looked up when used, never
on import."""

import errno
import glob
import os
import secrets
import shutil
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CLONE = PACKAGE.parent
IN_CLONE = (CLONE / "pyproject.toml").is_file()  # not among installed packages
LITE_WEIGHTS = PACKAGE / "weights"
_ABANDONED = 24 * 3600.0  # seconds without a change after which a file is taken to be left by a killed process
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LEAST_FREE = 2**20  # bytes; with less the disk counts as full


def _root() -> Path:
    return CLONE if IN_CLONE else Path.cwd()


def writable(folder: Path) -> bool:
    """Whether this user may write in `folder`, or make it where it is not there yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return os.access(there, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def own_folder(folder: Path, variable: str = "DCAC_RUNS") -> Path:
    """`folder`, made if it is not there. Raises PermissionError where this user may not write in it, naming the
    environment's `variable` that would put it elsewhere."""
    if not writable(folder):
        raise PermissionError(f"You may not write in {folder}: set {variable} to a folder of your own.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _own(name: str) -> Path:
    """`name` in the clone, or in `dcac-lite/` of the home folder where the clone is somebody else's."""
    folder = _root() / name
    return folder if writable(folder) else Path.home() / "dcac-lite" / name


def _named(variable: str) -> Path | None:
    return Path(os.environ[variable]) if os.environ.get(variable) else None


def data_root() -> Path:
    """Folder of the data sets: `$DCAC_DATA`, or `data/` in the clone, also in somebody else's if it is there."""
    shared = _root() / "data"
    return _named("DCAC_DATA") or (shared if shared.is_dir() else _own("data"))


def runs_root() -> Path:
    """Folder of this user's training runs: `$DCAC_RUNS`, or `runs/` in the clone, or in the home folder's
    `dcac-lite/` where the clone is somebody else's."""
    return _named("DCAC_RUNS") or _own("runs")


def runs_roots() -> list[Path]:
    """Where finished runs are looked for: `runs_root()`, then `runs/` of a clone that is somebody else's."""
    theirs = _root() / "runs"
    return [runs_root()] if writable(theirs) else [runs_root(), theirs]


def weights_root() -> Path:
    """Folder of pre-trained weights of others: `$DCAC_WEIGHTS`, or `weights/` in the clone."""
    return _named("DCAC_WEIGHTS") or _root() / "weights"


def copies_folder() -> Path:
    """Folder of a reader's own copies of the notebooks: `my-notebooks/`, beside the runs' usual place."""
    return _own("my-notebooks")


def figures_root() -> Path:
    """Folder of the published figures and of the studies' tables: `figures/` in the clone. Read by the
    notebooks; written to by the maintainers' commands only, which are told to (`--in-place`)."""
    return _root() / "figures"


def figures_folder(tier: str) -> Path:
    """Folder that the notebooks write their figures to, made if it is not there: `$DCAC_FIGURES`, or `TIER/figures/`
    in the runs folder. Raises PermissionError where this user may not write in it."""
    named = _named("DCAC_FIGURES")
    return own_folder(named, "DCAC_FIGURES") if named else own_folder(runs_root() / tier / "figures")


def results_folder(in_place: bool) -> Path:
    """Folder that studies write their tables to: `results/` in the runs folder, or, to publish them, in `figures/`."""
    return (figures_root() if in_place else runs_root()) / "results"


def temporary_name(path: Path) -> Path:
    """A name beside `path` for what is to become it, taken by nobody: several machines may share a disk."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(6)}.part{path.suffix}")


def remove_parts(folder: Path, name: str = "*", older: float = 0.0) -> None:
    """Delete what killed processes left in `folder` under a `temporary_name` of files called `name` (a
    pattern) more than `older` seconds ago. At 0 only for who holds a lock that all writers take."""
    for part in folder.glob(f".{name}.part*"):
        with suppress(FileNotFoundError):  # another process was faster
            if part.stat().st_mtime <= time.time() - older:
                shutil.rmtree(part) if part.is_dir() else part.unlink()


@contextmanager
def replacing(path: Path):
    """Yields the name of a new file beside `path`; renames it to `path` when the block ends without an
    error and removes it otherwise, so that `path` is never half-written. Whoever writes it, others may
    read it as the umask says. Raises OSError when the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(path.parent, f"{glob.escape(path.stem)}.*", older=_ABANDONED)
    temporary = temporary_name(path)
    with open(temporary, "xb") as handle:
        mode = stat.S_IMODE(os.fstat(handle.fileno()).st_mode)
    try:
        yield temporary
        os.chmod(temporary, mode)  # safetensors makes a file of its own, which only its owner may read
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except Exception as error:
        # torch and safetensors say it in words of their own
        if getattr(error, "errno", 0) in _FULL or shutil.disk_usage(path.parent).free < _LEAST_FREE:
            raise OSError(errno.ENOSPC, f"the disk is full; make room and run again. Not written: {path}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_changed(path: Path, text: str) -> None:
    """Write a file unless it says so already: its time is that of its last change."""
    if not path.exists() or path.read_text() != text:
        with replacing(path) as temporary:
            temporary.write_text(text)
