"""What should be reached, and the table that says whether it was: a csv file for each device."""

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PARTS = ("step", "data", "encoder", "ranking")


@dataclass(frozen=True)
class Target:
    """What row `name` of a size should reach: its field (`ours` or `ratio`) at most or at least `value`.
    on: "cuda", "cpu" or "any" device; batch: of the training step, None where it does not matter."""

    name: str
    field: str
    at_least: bool
    value: float
    on: str = "cuda"
    size: str = "full"
    batch: int | None = None

    def __str__(self) -> str:
        return f"{self.field} {'>=' if self.at_least else '<='} {self.value:g}"


TARGETS = (
    Target("training step", "ours", False, 60, batch=64),
    Target("share of the matmul rate", "ours", True, 40, batch=64),
    Target("peak memory of training", "ours", False, 9, batch=64),  # the paper reports 18.15 GB
    Target("training, data included", "ratio", True, 3, batch=64),
    Target("encoder, autocast", "ours", True, 5000),
    Target("ranking, per query", "ratio", True, 3, on="any"),
    Target("peak memory of ranking", "ours", False, 1.5, on="cpu"),
    Target("ranking, all queries", "ours", False, 10),
)


# ---------------------------------------------------------------- the table

COLUMNS = (
    "part", "name", "size", "batch", "ours", "ours_min", "ours_max", "reference", "reference_min", "reference_max",
    "unit", "ratio",
    "repeats", "target", "verdict", "device", "threads", "load", "measured", "commit", "python", "versions",
)  # fmt: skip
KEY = ["name", "size", "batch"]


def with_verdicts(table, device_type: str):
    """The table with `target` and `verdict`: "met" or "missed" where a row has a target, and one row
    "not measured" for every target that has no row."""
    import pandas as pd

    table = table.assign(target=None, verdict=None).astype({"target": object, "verdict": object})
    for target in TARGETS:
        rows = table["name"].eq(target.name) & table["size"].eq(target.size) & (target.on in ("any", device_type))
        if target.batch is not None:
            rows &= table["batch"].eq(target.batch)
        table.loc[rows, "target"] = str(target)
        for index in table.index[rows]:
            value = table.loc[index, target.field]
            reached = value >= target.value if target.at_least else value <= target.value
            table.loc[index, "verdict"] = "met" if reached else "missed"
        if not rows.any():
            missing = {
                "name": target.name,
                "size": target.size,
                "batch": target.batch,
                "repeats": 0,
                "target": str(target),
            }
            on = "" if target.on == "any" else f" on {'a GPU' if target.on == 'cuda' else 'a CPU'}"
            table = pd.concat([table, pd.DataFrame([missing | {"verdict": f"not measured{on}"}])], ignore_index=True)
    return table.reindex(columns=COLUMNS)


def device_name(device) -> str:
    """The GPU's name, or the processor's."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name()
    named = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return f"CPU {named[1]}" if named else "CPU"


def write(rows: list[dict], size: str, batch: int, device, output: Path | None = None) -> "tuple[Path, object]":
    """Add rows to the device's table, in place of those of the same name, size and batch. Returns the file
    and the table."""
    import pandas as pd

    from dcac_lite.paths import replacing, results_folder
    from dcac_lite.runs import provenance

    name = device_name(device)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = output or results_folder(in_place=False) / f"benchmark-{slug}.csv"
    about = provenance()
    about |= {"versions": json.dumps(about["versions"]), "device": name, "load": round(os.getloadavg()[0], 1)}
    about["measured"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    new = pd.DataFrame([{**r, "size": size, "batch": None if r["part"] == "ranking" else batch, **about} for r in rows])
    table = new
    if path.exists():
        kept = pd.read_csv(path)
        table = pd.concat([kept[kept["repeats"] > 0], new], ignore_index=True)  # without what was "not measured"
    table = with_verdicts(table.drop_duplicates(KEY, keep="last").reset_index(drop=True), device.type)
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
    return path, table


def benchmark(
    part: str,
    size: str = "lite",
    batch: int | None = None,
    device: str | None = None,
    repeats: int = 5,
    output: Path | None = None,
):
    """Measure `part` (one of PARTS or "all"), write the table and return it. batch: images of a training
    step, by default the tier's 64 on a GPU and 8 on a CPU; a multiple of 4. device: "cuda" or "cpu", by
    default what there is."""
    if part not in (*PARTS, "all"):
        raise ValueError(f"part is {part!r}; expected one of {', '.join(PARTS)} or all.")
    if size not in ("lite", "full"):
        raise ValueError(f"size is {size!r}; expected lite or full.")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # accelerate takes a GPU where it sees one
    import torch

    found = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in (None, found):
        raise ValueError(
            f"device is {device!r}, but this process has {found!r}; leave --device away or use another machine."
        )
    batch = batch or (64 if found == "cuda" else 8)
    if batch < 8 or batch % 4:
        raise ValueError(f"batch is {batch}; expected a multiple of 4 of at least 8: identities with 4 images each.")
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; expected at least 1.")
    from .measure import measure_ranking, measure_training

    place, parts = torch.device(found), PARTS if part == "all" else (part,)
    rows = []
    if training := [p for p in parts if p != "ranking"]:
        rows += measure_training(training, size, batch, place, repeats)
    if "ranking" in parts:
        rows += measure_ranking(size, place, repeats)
    return write(rows, size, batch, place, output)
