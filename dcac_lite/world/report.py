"""How hard the embedded world is: every reference on every domain, beside the fine-tuned encoder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..data.domains import Domain, training_set
from ..data.load import load_domain
from ..data.registry import DOMAIN_NAMES
from ..experiment import Experiment
from ..paths import replacing
from ..runs import run
from .references import closed_form_table, rows, score_features
from .small_networks import strong, train_cnn, train_encoder, weak, zero_shot
from .truth import oracle_features, truth_of
from .verdicts import ANY, sources_of, verdicts


def oracle_rows(domains: Mapping[str, Domain], tier: str) -> pd.DataFrame:
    """Rows of the drawing code itself as a reader of pictures, see `truth.oracle_features`: the ceiling."""
    table = []
    for target, domain in domains.items():
        splits = (domain.query, domain.gallery)
        query, gallery = (oracle_features(truth_of(target, s.names, tier), seed=k) for k, s in enumerate(splits))
        metrics = score_features(query.numpy(), gallery.numpy(), domain)
        facts = {"reference": "oracle", "kind": "oracle", "source": ANY, "target": target}
        table.append(facts | {"mAP": metrics["mAP"], "R1": metrics["R1"]})
    return pd.DataFrame(table)


def network_rows(source: str, domains: Mapping[str, Domain], steps: int, baseline: Experiment) -> pd.DataFrame:
    """Rows of the networks trained on `source` from random weights; `steps`: of each small CNN."""
    data = training_set([domains[source]])
    fits = {
        "small CNN, weak augmentation": lambda: train_cnn(data, weak, steps),
        "small CNN, strong augmentation": lambda: train_cnn(data, strong, steps),
        "encoder from random weights": lambda: train_encoder(baseline, data),
    }
    return pd.concat([rows(name, "network", source, domains, fit()) for name, fit in fits.items()])


def report(
    sources: Sequence[str], targets: Sequence[str] = DOMAIN_NAMES, tier: str = "lite", steps: int = 1200
) -> pd.DataFrame:
    """The table of `references.closed_form_table` with all references, for each of `sources` on `targets`
    and the sources themselves. Zero-shot CLIP and the oracle have the source `verdicts.ANY`."""
    domains = {name: load_domain(name, tier) for name in dict.fromkeys((*sources, *targets))}
    parts = [rows("zero-shot CLIP", "zero-shot", ANY, domains, zero_shot(tier)), oracle_rows(domains, tier)]
    for source in sources:
        baseline = Experiment(tier=tier, sources=source, conditioning="none")
        tuned = run(baseline, progress=False).evaluate(*domains)[["target", "mAP", "R1"]]
        parts += [closed_form_table(domains, source), network_rows(source, domains, steps, baseline)]
        parts.append(tuned.assign(reference="fine-tuned encoder", kind="fine-tuned", source=source))
    return pd.concat(parts, ignore_index=True)


def side_by_side(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """What was trained on `source`, or on no domain: a line per reference, a column per target, "mAP / R1" in each."""
    own = table[table["source"].isin([source, ANY])]
    cells = own.assign(cell=[f"{m:.1f} / {r:.1f}" for m, r in zip(own["mAP"], own["R1"])])
    wide = cells.pivot(index="reference", columns="target", values="cell")
    return wide.loc[own["reference"].unique(), own["target"].unique()].rename_axis(index=None, columns=None)


def text(table: pd.DataFrame) -> str:
    """The table as read by people: for each source one line per reference, mAP / R1 per target; then the verdicts."""
    parts = [[f"Trained on {s}: mAP / R1", side_by_side(table, s).to_string(), ""] for s in sources_of(table)]
    return "\n".join([*(line for part in parts for line in part), *map(str, verdicts(table))])


def write(table: pd.DataFrame, file: Path) -> None:
    """The tidy table as a csv file, two decimals."""
    with replacing(file) as temporary:
        table.round(2).to_csv(temporary, index=False)


def read(file: Path) -> pd.DataFrame:
    """A table that `write` wrote. (pandas would take the source `verdicts.ANY` for a missing value.)"""
    return pd.read_csv(file, keep_default_na=False)
