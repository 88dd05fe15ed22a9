"""`python -m dcac_lite rank ENCODER FOLDER...`: mAP and CMC of an encoder on any data set, one's own among them."""

import argparse

from ..evaluation import rank_metrics
from ..release.encoded import ENCODER, FOLDER, EncodedDomain, encode, load_encoder
from ..reranking import distance_metrics, k_reciprocal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("encoder", metavar="ENCODER", help=ENCODER)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help=FOLDER)
    about = "also with k-reciprocal re-ranking (k1 20, k2 6, lambda 0.3), which keeps all query-gallery distances"
    parser.add_argument("--rerank", action="store_true", help=about)
    parser.set_defaults(call=_rank)


def ranked(domain: EncodedDomain) -> dict[str, float]:
    """`evaluation.rank_metrics` of the encoded pictures."""
    query, gallery = domain.query, domain.gallery
    return rank_metrics(query.x, gallery.x, query.pids, gallery.pids, query.cameras, gallery.cameras)


def reranked(domain: EncodedDomain) -> dict[str, float]:
    """The same by the distances of `reranking.k_reciprocal`."""
    query, gallery = domain.query, domain.gallery
    own = zip(query.pids, query.cameras)
    ignored = ((gallery.pids == pid) & (gallery.cameras == camera) for pid, camera in own)
    return distance_metrics(k_reciprocal(query.x, gallery.x), query.pids, gallery.pids, ignored)


def _rank(arguments: argparse.Namespace) -> None:
    import pandas as pd

    extractor, rows = load_encoder(arguments.encoder), []
    for place in arguments.folders:
        domain = encode(extractor, place)
        if not domain.cameras_known:
            print(f"{place}: the file names tell no cameras, so matches within a camera count; scores are too high.")
        rows.append({"data set": place} | ranked(domain))
        if arguments.rerank:
            rows.append({"data set": f"{place}, re-ranked"} | reranked(domain))
    print(pd.DataFrame(rows).round(1).to_string(index=False))
