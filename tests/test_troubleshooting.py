"""TROUBLESHOOTING.md: what it derives is so, what it quotes is said, and its code runs."""

import math
import re

import torch

from dcac_lite import Experiment, run
from dcac_lite.encoder import id_loss
from dcac_lite.paths import CLONE, PACKAGE

TEXT = (CLONE / "TROUBLESHOOTING.md").read_text()


def test_the_first_id_loss_is_log_n_and_the_last_the_entropy_of_a_smoothed_label(smoke_data):
    for identities, first, last in ((150, "5.01", "0.82"), (751, "6.62", "0.99")):
        best = torch.full((1, identities), 0.1 / identities).index_fill(1, torch.tensor([3]), 0.9 + 0.1 / identities)
        assert f"{math.log(identities):.2f}" == first and f"{id_loss(best.log(), torch.tensor([3])):.2f}" == last
        assert first in TEXT and last in TEXT
    finished = run(Experiment(tier="smoke", sources="MA", conditioning="none", epochs=1), progress=False)
    assert abs(finished.history["id"][0] - math.log(smoke_data.identities)) < 0.02


def test_the_sentence_about_nan_is_the_trainer_s():
    quoted = re.search(r"`(The loss is) nan at step", TEXT)
    assert quoted and quoted[1] in (PACKAGE / "training.py").read_text()


def test_the_code_counts_the_named(capsys):
    finished = run(Experiment(tier="smoke", sources="MA", conditioning="none", epochs=1), progress=False)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(
        code.replace("RUN_FOLDER", str(finished.folder)).replace('load_domain("MA")', 'load_domain("MA", "smoke")'), {}
    )
    assert re.fullmatch(r"[\d.]+% of 192 pictures named right\n", capsys.readouterr().out)
