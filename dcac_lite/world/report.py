"""How hard the embedded world is: every reference on every domain, beside the fine-tuned encoder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.domains import Domain, training_set
from ..data.load import load_domain
from ..data.registry import DOMAIN_NAMES
from ..experiment import Experiment
from ..paths import replacing
from ..runs import run
from .references import closed_form_table, rows, score_features
from .small_networks import strong, train_cnn, train_encoder, weak, zero_shot
from .verdicts import ANY, verdicts

#: A domain -> features of its queries [Q, d] and of its gallery [G, d].
DomainFeatures = Callable[[Domain], tuple[np.ndarray, np.ndarray]]


def extra_rows(extra: Mapping[str, DomainFeatures], domains: Mapping[str, Domain]) -> pd.DataFrame:
    """Rows of what is not trained on a source, such as {"oracle": oracle_features}; a row's name is its kind."""
    table = []
    for name, features in extra.items():
        for target, domain in domains.items():
            metrics = score_features(*features(domain), domain)
            facts = {"reference": name, "kind": name, "source": ANY, "target": target}
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
    sources: Sequence[str],
    targets: Sequence[str] = DOMAIN_NAMES,
    tier: str = "lite",
    steps: int = 1200,
    extra: Mapping[str, DomainFeatures] | None = None,
) -> pd.DataFrame:
    """The table of `references.closed_form_table` with all references, for each of `sources` on `targets`
    and the sources themselves. Zero-shot CLIP and `extra` (see `extra_rows`) have the source `verdicts.ANY`."""
    domains = {name: load_domain(name, tier) for name in dict.fromkeys((*sources, *targets))}
    parts = [rows("zero-shot CLIP", "zero-shot", ANY, domains, zero_shot(tier)), extra_rows(extra or {}, domains)]
    for source in sources:
        baseline = Experiment(tier=tier, sources=source, conditioning="none")
        tuned = run(baseline, progress=False).evaluate(*domains)[["target", "mAP", "R1"]]
        parts += [closed_form_table(domains, source), network_rows(source, domains, steps, baseline)]
        parts.append(tuned.assign(reference="fine-tuned encoder", kind="fine-tuned", source=source))
    return pd.concat(parts, ignore_index=True)


def text(table: pd.DataFrame) -> str:
    """The table as read by people: for each source one line per reference, mAP / R1 per target; then the verdicts."""
    lines = []
    for source in [s for s in table["source"].unique() if s != ANY]:
        own = table[table["source"].isin([source, ANY])]
        cells = own.assign(cell=[f"{m:.1f} / {r:.1f}" for m, r in zip(own["mAP"], own["R1"])])
        wide = cells.pivot(index="reference", columns="target", values="cell")
        wide = wide.loc[own["reference"].unique(), own["target"].unique()]
        lines += [f"Trained on {source}: mAP / R1", wide.rename_axis(index=None, columns=None).to_string(), ""]
    return "\n".join([*lines, *map(str, verdicts(table))])


def write(table: pd.DataFrame, file: Path) -> None:
    """The tidy table as a csv file, two decimals."""
    with replacing(file) as temporary:
        table.round(2).to_csv(temporary, index=False)
