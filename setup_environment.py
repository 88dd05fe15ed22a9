"""Make the environment `.venv` inside this clone from the pins in environment.yml.

Needs only the standard library, so that it runs before anything is installed. A second call
finds the stamp of a finished install and returns at once; an interrupted install has no stamp
and is made again. Used by the Makefile: `python3 setup_environment.py`; with the word `wheelhouse` it makes a folder
of wheels instead, from which machines without a network install (PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER).
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed-from"
SUPPORTED = [(3, 11), (3, 12), (3, 13), (3, 14)]
WHEELHOUSE = ROOT / "wheelhouse"
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"
NEEDED_GB = 12  # torch with its CUDA packages is about 7 GB on disk, and its wheels pass through a cache
WITH_CUDA = ("torch", "torchvision")  # what comes with CUDA packages where nobody says otherwise
_SILENT = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": os.environ | {"UV_HTTP_TIMEOUT": "20"}}


def pins() -> list[str]:
    """The pip requirements of environment.yml, in order, comments removed."""
    lines = (ROOT / "environment.yml").read_text().splitlines()
    body = lines[lines.index("  - pip:") + 1 :]
    items = [line.split("#")[0].strip() for line in body]
    return [item.removeprefix("- ") for item in items if item]


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA GPU could be used on this machine."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def install_for_cpu(python: Path, uv: str | None) -> None:
    """Install the builds of torch that have no CUDA packages, which uv knows where to find. Where it cannot reach
    them, say so; the ordinary ones follow with everything else."""
    if uv is None:
        installed = subprocess.run([str(python), "-m", "pip", "install", "-q", "uv"], **_SILENT).returncode == 0
        uv = str(python.with_name("uv")) if installed else None
    pinned = [pin for pin in pins() if pin.split("==")[0] in WITH_CUDA]
    words = ["pip", "install", "--quiet", "--python", str(python), "--torch-backend", "cpu", *pinned]
    if uv is None or subprocess.run([uv, *words], **_SILENT).returncode:
        print("No GPU here, but PyTorch's builds without CUDA cannot be reached: its usual ones, 6 GB, do as well.")


def wheelhouse(folder: Path) -> None:
    """Bring every pin with all it needs into `folder`, as wheels for this Python and this kind of machine. Torch's
    builds without CUDA packages where there is no GPU here and they can be reached."""
    check_python()
    import tomllib  # which an older one has not

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    # setuptools too, which installs the clone itself
    wanted = [pin for pin in pins() if pin != "-e ."] + project["build-system"]["requires"]
    with tempfile.TemporaryDirectory() as place:  # an environment made by uv has no pip
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        wheel = [str(Path(place, "bin", "python")), "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder)]
        if sys.platform == "linux" and not has_nvidia_driver():
            pinned = [pin for pin in pins() if pin.split("==")[0] in WITH_CUDA]
            subprocess.run(
                [*wheel, "--no-deps", "--index-url", CPU_BUILDS, "--retries", "0", "--timeout", "20", *pinned],
                **_SILENT,
            )
        # where both are found, pip takes the build without CUDA: its version, 2.15.0+cpu, counts as the later one
        done = subprocess.run([*wheel, "--find-links", str(folder), *wanted])
    if done.returncode:
        sys.exit("The wheelhouse is not whole (see the lines above); call make again and it goes on.")
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e9
    print(f"{folder}: {len(list(folder.iterdir()))} wheels, {size:.1f} GB, for Python {sys.version.split()[0]}.")


def check_python() -> None:
    """Stop with a sentence unless this Python is one of `SUPPORTED`."""
    if sys.version_info[:2] not in SUPPORTED:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"dcac-lite needs Python 3.11 to 3.14, but {sys.executable} is Python {found}: "
            "run `make PYTHON=/path/to/python3.12 ...`, or use conda with environment.yml."
        )


def main() -> None:
    fingerprint = hashlib.sha256("\n".join([*pins(), (ROOT / "pyproject.toml").read_text()]).encode()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == fingerprint:
        return
    check_python()
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < NEEDED_GB:
        sys.exit(
            f"The environment needs about {NEEDED_GB} GB of disk, but {ROOT} has {free_gb:.1f} GB free: "
            "free some space or clone onto a larger disk, then call make again."
        )
    print(f"Setting up {VENV} (once; about 2 to 10 minutes, {NEEDED_GB} GB with caches) ...", flush=True)
    requirements = [f"-e{ROOT}" if pin == "-e ." else pin for pin in pins()]
    offline = bool(os.environ.get("PIP_NO_INDEX"))  # which uv does not read
    uv = None if offline else shutil.which("uv")
    try:
        if uv:
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)], check=True)
            install = [uv, "pip", "install", "--quiet", "--python", str(VENV / "bin" / "python")]
        else:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
            install = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        if sys.platform == "linux" and not offline and not has_nvidia_driver():
            install_for_cpu(VENV / "bin" / "python", uv)
        # the kernelspec is written inside .venv, so the notebooks find this environment and no other
        subprocess.run([*install, *requirements], check=True, cwd=ROOT)
    except (subprocess.CalledProcessError, KeyboardInterrupt, FileNotFoundError) as error:
        reason = "was interrupted" if isinstance(error, KeyboardInterrupt) else "failed (see the lines above)"
        sys.exit(f"The installation {reason}; call make again and it starts afresh.")
    temporary = STAMP.with_suffix(".part")
    temporary.write_text(fingerprint)
    os.replace(temporary, STAMP)
    print("Environment ready.", flush=True)


if __name__ == "__main__":
    wheelhouse(WHEELHOUSE) if sys.argv[1:] == ["wheelhouse"] else main()
