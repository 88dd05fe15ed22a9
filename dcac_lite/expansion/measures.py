"""What is measured of an arm: a row of the table for each way to score."""

import hashlib
from dataclasses import asdict

import numpy as np
import torch

from ..code_key import code_key
from .activations import of_training
from .arms import Arm, key, people, test_features, trained
from .domains import protocols_of
from .probes import misled, read_linearly, top_colours, within
from .protocols import clothes_metrics, dressed
from .recipe import RECIPES, Recipe

_CODE = ("expansion.measures", "expansion.probes", "expansion.protocols", "expansion.references", "evaluation")


def row_key(arm: Arm, domain: str, tier: str, seed: int, recipe: Recipe | None = None) -> str:
    """Hash of everything that the rows of a run depend on."""
    text = key(arm, domain, tier, seed, recipe or RECIPES[tier]) + code_key(_CODE)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def rows_of(arm: Arm, domain: str, tier: str, seed: int, recipe: Recipe | None = None) -> list[dict]:
    """A run's rows of the table, one a protocol: how well people are found (`protocols.clothes_metrics`), and what the
    features know of clothes (`probes`), in percent. misled: of the wrong first answers those in the query's clothes;
    colours: the tops' colours that a linear reader names in test; within: of the features' variance in test that within
    people."""
    head = trained(arm, domain, tier, seed, recipe)
    spec, pictures = people(domain, tier, arm.outfits)
    found = test_features(head, arm, domain, tier)
    query, gallery = (dressed(found[split], getattr(pictures, split)) for split in ("query", "gallery"))
    together = torch.cat([query.x, gallery.x])
    seen = torch.from_numpy(np.array(of_training(spec, pictures.train)))
    words = top_colours(spec, pictures, "train"), np.concatenate([top_colours(spec, pictures, s) for s in found])
    facts = {"domain": domain, "tier": tier} | asdict(arm) | {"seed": seed}
    probes = {
        "colours": read_linearly(head.features(seen[:, :2]), together, words),
        "within": within(together, np.concatenate([query.pids, gallery.pids])),
    }
    origin = {"data": pictures.fingerprint, "key": row_key(arm, domain, tier, seed, recipe)}
    rows = []
    for name, protocol in protocols_of(domain).items():
        metrics = clothes_metrics(query, gallery, protocol)
        astray = {"misled": misled(query, gallery, protocol, spec)}
        rows.append(facts | {"protocol": name} | metrics | astray | probes | origin)
    return rows
