"""How fast and how small: the package against `plain_pipeline`, both measured in the same run.

`python -m benchmarks {step,data,encoder,ranking,all} [--size lite|full]` prints a table and
writes it to `results/benchmark-DEVICE.csv` in the runs folder, or to `--output`; rows that are not measured
again stay. Needs no download: size `full` has random weights in the architectures of the full tier and drawn images.
"""

import argparse
from pathlib import Path

from .table import PARTS, benchmark


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    options.add_argument("part", choices=[*PARTS, "all"])
    options.add_argument("--size", choices=["lite", "full"], default="lite")
    options.add_argument("--batch", type=int, help="images of a training step (64 on a GPU, 8 on a CPU)")
    options.add_argument("--device", choices=["cpu", "cuda"])
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--output", type=Path, help="the csv file to write")
    return options


def main() -> None:
    options = parser()
    try:
        path, table = benchmark(**vars(options.parse_args()))
    except ValueError as error:
        options.error(str(error))
    shown = table[["name", "size", "batch", "ours", "reference", "unit", "ratio", "target", "verdict"]]
    print(shown.to_string(index=False, na_rep="", float_format=lambda x: f"{x:.4g}"))
    print(f"Written to {path}")


if __name__ == "__main__":
    main()
