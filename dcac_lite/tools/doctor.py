"""Is this machine ready for the notebooks? To be run the day before a workshop: `python -m dcac_lite doctor`.

One line a check: what was found, or what to fix. All of it works without a network, and nothing is left behind but
embedded data. The real data sets and weights of the full tier have doors of their own: `verify` and `rehearsal`."""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from ..paths import copies_folder, data_root, figures_folder, own_folder, runs_root, runs_roots, writable

GB = 1e9
#: Bytes, measured in the lite tier: a kernel that trains takes 1.4 GB; the domains with what is decoded of them take
#: 0.2 GB and a run 4 MB, so that there is room for 75 runs.
MEMORY, DISK = 1.4 * GB, 0.5 * GB
#: Of JupyterLab, that draws the widgets; without it a cell shows "Error displaying widget".
WIDGETS = "@jupyter-widgets/jupyterlab-manager"
_IN_KERNEL = "import sys, dcac_lite; print(sys.prefix)"


def python() -> str:
    from packaging.specifiers import SpecifierSet

    needed = metadata("dcac-lite")["Requires-Python"]
    if platform.python_version() not in SpecifierSet(needed):
        raise ValueError(f"{sys.executable} is Python {platform.python_version()}; expected {needed}.")
    return f"{platform.python_version()} in {sys.prefix}"


def _unfit(package: str, extra: str = "") -> Iterator[str]:
    """What of a package's requirements is not there, or not in the range that it asks for."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, requires(package) or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            try:
                if not requirement.specifier.contains(version(requirement.name), prereleases=True):
                    yield f"{requirement.name} {version(requirement.name)}, expected {requirement.specifier}"
            except PackageNotFoundError:
                yield f"{requirement.name} is missing"


def libraries() -> str:
    if wrong := list(_unfit("dcac-lite", extra="notebooks")):
        raise ValueError(f"{'; '.join(wrong)}: install again, with `make setup` or as environment.yml says.")
    return "versions in their ranges"


def memory() -> str:
    import psutil

    free, limit = psutil.virtual_memory().available, Path("/sys/fs/cgroup/memory.max")  # of a container
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        free = min(free, int(text))
    if free < MEMORY:
        raise ValueError(
            f"{free / GB:.1f} GB are free; a notebook that trains takes {MEMORY / GB} GB: close something."
        )
    return f"{free / GB:.1f} GB free; a notebook that trains takes {MEMORY / GB} GB"


def data() -> str:
    from ..data.load import load_domain
    from ..data.registry import DOMAIN_NAMES

    root = data_root()
    if writable(root):
        return f"{root}, yours to write"
    lacking = []
    for tier in ("smoke", "lite"):
        for name in DOMAIN_NAMES:
            try:
                load_domain(name, tier)
            except OSError:
                lacking.append(f"{name} ({tier})")
    if lacking:
        raise ValueError(
            f"{root} is somebody else's and lacks {', '.join(lacking)}: ask its owner to draw what is missing "
            "(`python -m dcac_lite world draw`), or set DCAC_DATA to a folder of your own."
        )
    return f"{root}, somebody else's; all embedded domains are there"


def runs() -> str:
    root = own_folder(runs_root())
    figures_folder("lite")
    if (free := shutil.disk_usage(root).free) < DISK:
        raise ValueError(f"{free / GB:.1f} GB of disk are free at {root}; expected {DISK / GB} GB: make room.")
    others = "".join(f"; finished runs also from {other}" for other in runs_roots()[1:])
    return f"{root}, yours to write, {free / GB:.1f} GB free{others}"


def notebooks() -> str:
    return f"your copies: {own_folder(copies_folder(), 'HOME')}"


def kernel() -> str:
    from jupyter_client.manager import start_new_kernel

    try:
        manager, client = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL)
    except Exception as error:
        raise ValueError(
            f"no kernel starts ({error}); where Jupyter may not write, set JUPYTER_RUNTIME_DIR to a folder of your own."
        ) from error
    said = []
    try:
        reply = client.execute_interactive(
            _IN_KERNEL, timeout=60, output_hook=lambda m: said.append(m["content"].get("text", ""))
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if reply["content"]["status"] != "ok":
        raise ValueError(f"in the kernel python3 {reply['content']['evalue']}: install this package where it runs.")
    found = "".join(said).strip()
    if Path(found).resolve() != Path(sys.prefix).resolve():
        raise ValueError(
            f"the kernel python3 is that of {found}, not of {sys.prefix}: "
            "take the other away with `jupyter kernelspec remove python3`."
        )
    return "python3 starts, in this environment"


def widgets() -> str:
    from jupyter_core.paths import jupyter_path

    if wrong := list(_unfit("ipywidgets")):
        raise ValueError(f"{'; '.join(wrong)}: install ipywidgets again.")
    places = [Path(path, WIDGETS) for path in jupyter_path("labextensions")]
    first = next((place for place in places if (place / "package.json").is_file()), None)
    if first is None or not first.is_relative_to(sys.prefix):
        there = f"those of {first} come first" if first else "JupyterLab has none"
        raise ValueError(f"{there}: install jupyterlab_widgets in this environment, and remove others.")
    return f"ipywidgets {version('ipywidgets')}, with its part of JupyterLab"


def arithmetic() -> str:
    import torch

    from ..device import bfloat16_is_fast, compute_device

    device = compute_device()
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{device.type.upper()}"
    where += f", {os.cpu_count()} cores"
    if bfloat16_is_fast():
        return f"{where}, bfloat16"
    return (
        f"{where}, float32, since bfloat16 would be slower: with two busy cores a lite DCAC run takes about 7 minutes"
    )


def smoke_run() -> str:
    started = time.time()
    with tempfile.TemporaryDirectory(dir=own_folder(runs_root()), prefix=".doctor-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "dcac_lite", "train", "--tier", "smoke", "--sources", "MA", "--targets", "MA"],
            env=os.environ | {"DCAC_RUNS": folder, "TQDM_DISABLE": "1"},
            capture_output=True,
            text=True,
        )
    if done.returncode < 0:
        raise ValueError(f"was killed by signal {-done.returncode}; 9 mostly means that memory ran out.")
    trained = re.search(r"\((\d+) s of training\)", done.stdout)
    if done.returncode or not trained:
        raise ValueError((done.stderr.strip() or "said nothing").splitlines()[-1])
    return f"trained in {trained[1]} s, {time.time() - started:.0f} s with all libraries, data and evaluation"


CHECKS: dict[str, Callable[[], str]] = {
    "Python": python,
    "libraries": libraries,
    "memory": memory,
    "data": data,
    "runs": runs,
    "notebooks": notebooks,
    "kernel": kernel,
    "widgets": widgets,
    "arithmetic": arithmetic,
    "smoke run": smoke_run,
}


def examine() -> int:
    """Print a line for each of `CHECKS`; returns the number of those that found something to fix."""
    failed = 0
    for name, check in CHECKS.items():
        try:
            line = f"ok   {name:<11}{check()}"
        except Exception as error:  # whatever it is, the other checks are worth their lines
            failed += 1
            line = f"FIX  {name:<11}{error}"
        print(" ".join(line.splitlines()), flush=True)
    return failed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(call=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    failed = examine()
    print(f"{failed} to fix." if failed else "Ready.")
    return int(failed > 0)
