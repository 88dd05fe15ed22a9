"""Tables from runs: what the runs folder holds of a table, with its uncertainty, beside what the paper prints.

Nothing is trained here. A run that is not there, or not of this code, data and weights, leaves a hole."""

from collections.abc import Sequence
from contextlib import suppress

from ..code_key import RESULTS, code_key
from ..tools.same import same_keys, same_pictures
from .statistics import holm, interval, probability, smallest_effect
from .tables import TABLES, Cell, cells, identity, name_of, paper_value

#: Of the metrics that every run is measured by, those that the paper prints.
METRICS = ("mAP", "R1")


#: What is published of a run and a target.
PUBLISHED = (
    "name", "tier", "sources", "conditioning", "adaptation", "rank", "lambda_", "tau_c", "seed", "precision",
    "target", *METRICS, "gradient_ratio", "seconds", "commit", "torch", "threads", "data", "code_key",
)  # fmt: skip


def shipped(tier: str):
    """What was published of a tier, as `measurements`, nothing where there is none: the file "tables-TIER", and the
    comparison, whose runs are some of the tables' own (`origin` says which)."""
    import pandas as pd

    from .study import experiment_of, results_file

    found = [pd.DataFrame(columns=[*PUBLISHED, "origin"])]
    if (file := results_file(f"tables-{tier}")).exists():
        found.append(pd.read_csv(file).assign(origin="tables"))
    if (file := results_file("comparison")).exists():
        table = pd.read_csv(file).query("tier == @tier")
        names = [name_of(experiment_of(row)) for _, row in table.iterrows()]
        found.append(table.assign(name=names, origin="comparison").reindex(columns=found[0].columns))
    whole = [table for table in found if len(table)]
    return pd.concat(whole, ignore_index=True) if whole else found[0]


def measurements(found: Sequence[Cell]):
    """What is known of the experiments in `found`, a DataFrame with name, seed, target, metrics and more: what this
    machine's runs folder holds (`origin` "here"), and where it has nothing, what was published (see `shipped`), if that
    is of this code, of the data that the runs here saw, and in the precision of the seed's runs here.

    Asks for the metrics of a finished run; one that is damaged, or whose data or target is not there, counts as none.
    Raises FileNotFoundError where a data set is not there and nothing is known."""
    import pandas as pd

    from ..runs import find
    from .study import rows_of_run

    wanted: dict[tuple, tuple] = {}
    for cell in found:
        for experiment in cell.experiments:
            _, targets = wanted.setdefault((identity(experiment), experiment.seed), (experiment, []))
            if cell.target not in targets:
                targets.append(cell.target)
    known, missing = [], None
    for experiment, targets in wanted.values():
        try:
            run = find(experiment)
        except FileNotFoundError as error:
            missing = error
            continue
        for target in targets if run else ():
            with suppress(ValueError, OSError):  # the batch names what is damaged
                rows = rows_of_run(run, [target])
                known += [{"name": name_of(experiment), "origin": "here"} | row for row in rows]
    here = pd.DataFrame(known, columns=None if known else list(PUBLISHED))
    tiers = dict.fromkeys(experiment.tier for experiment, _ in wanted.values())
    others = [_comparable(shipped(tier), here) for tier in tiers]
    tables = [table for table in (here, *others) if len(table)]
    if missing and not tables:
        raise missing
    table = pd.concat(tables, ignore_index=True) if tables else here
    return table.drop_duplicates(["name", "seed", "target"])


def _comparable(published, here):
    """The published rows that may stand beside those made here: of this code and of the same training data, and, since
    pairs share a seed, in the same precision as what a source's seed has here."""
    keys, data = same_keys(code_key(RESULTS)), dict(zip(here["sources"], map(same_pictures, here["data"])))
    precision = dict(zip(zip(here["sources"], here["seed"]), here["precision"]))
    same = [
        data.get(row.sources, same_pictures(row.data)) == same_pictures(row.data)
        and precision.get((row.sources, row.seed), row.precision) == row.precision
        and row.code_key in keys
        for row in published.itertuples()
    ]
    return published[same]


def values(table, name: str, target: str, metric: str) -> dict[int, float]:
    """A metric by seed, of the experiments of this name on this target."""
    here = table[(table["name"] == name) & (table["target"] == target)]
    return dict(zip(here["seed"].astype(int), here[metric].astype(float)))


def gather(number: int, tier: str, seeds: int, known=None):
    """A table of the paper, one row for each line, setting, direction and metric, a DataFrame:

    table, row, setting, source, target, metric; `paper`, and `mean`, `low`, `high` over `n` seeds of ours with the 95 %
    t interval; `lacking`, the seeds that are not there; the paired difference to the table's reference line:
    `difference`, `difference_low`, `difference_high`, `pairs`, its p and `p_holm` corrected for all differences of
    this metric in the table, `visible`, what so many pairs could find with a power of 80 %; and the paper's
    difference. The direction "mean" is over all directions of the table, if it has several, seed by seed.

    known: `measurements`, which are looked for if not given."""
    import pandas as pd

    table = TABLES[number]
    places = cells([number], tier, seeds)
    known = measurements(places) if known is None else known
    rows = [row for metric in METRICS for row in _rows(table, places, known, metric)]
    result = pd.DataFrame(rows)
    result["p_holm"] = float("nan")
    for _, group in result.groupby("metric", sort=False):
        # where two settings are the same runs, their difference is one difference
        own = group.drop_duplicates([c for c in group.columns if c not in ("setting", "p_holm")])
        own = own[own["p"].notna()]
        corrected = dict(zip(own["p"], holm(own["p"].tolist())))
        result.loc[group.index, "p_holm"] = group["p"].map(corrected)
    return result


def _rows(table, places: list[Cell], known, metric: str) -> list[dict]:
    by_line: dict[tuple, dict[tuple, dict[int, float]]] = {}
    papers: dict[tuple, dict[tuple, float]] = {}
    wanted: dict[tuple, dict[tuple, set[int]]] = {}
    for cell in places:
        line, direction = (cell.row.name, cell.setting), ("+".join(cell.sources), cell.target)
        measured = values(known, name_of(cell.experiments[0]), cell.target, metric)
        seeds = {e.seed for e in cell.experiments}
        by_line.setdefault(line, {})[direction] = {s: v for s, v in measured.items() if s in seeds}
        wanted.setdefault(line, {})[direction] = seeds
        printed = paper_value(table.number, cell.row.paper, cell.sources, cell.target, metric)
        papers.setdefault(line, {})[direction] = printed
    for line, measured in by_line.items():
        if len(measured) == 1:  # the one direction is the mean
            continue
        whole = set.intersection(*(set(by_seed) for by_seed in measured.values()))
        n = len(measured)
        papers[line]["", "mean"] = sum(papers[line].values()) / n
        wanted[line]["", "mean"] = set.union(*wanted[line].values())
        measured["", "mean"] = {s: sum(by_seed[s] for by_seed in measured.values()) / n for s in sorted(whole)}
    settings = [setting for name, setting in by_line if name == table.reference]
    rows = []
    for (name, setting), measured in by_line.items():
        reference = table.reference, setting if setting in settings else settings[0]
        for (source, target), by_seed in measured.items():
            level = interval(list(by_seed.values()))
            facts = {"table": table.number, "row": name, "setting": setting, "source": source, "target": target}
            facts |= {"metric": metric, "paper": papers[name, setting][source, target]} | level
            facts["lacking"] = len(wanted[name, setting][source, target] - set(by_seed))
            other = by_line[reference][source, target]
            shared = [] if (name, setting) == reference else sorted(set(by_seed) & set(other))
            facts |= paired_columns([by_seed[s] - other[s] for s in shared])
            facts["paper_difference"] = facts["paper"] - papers[reference][source, target]
            if (name, setting) == reference:
                facts["paper_difference"] = float("nan")
            rows.append(facts)
    return rows


def paired_columns(differences: Sequence[float]) -> dict[str, float]:
    """Of paired differences: `difference` with its 95 % interval, `pairs`, p, and the smallest `visible` effect."""
    import numpy as np

    found = interval(differences)
    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else float("nan")
    return {
        "difference": found["mean"],
        "difference_low": found["low"],
        "difference_high": found["high"],
        "pairs": found["n"],
        "p": probability(differences),
        "visible": smallest_effect(spread, len(differences)),
    }
