"""The released auxiliary generator: a Keras file in its layout, files that are none, and what it learned by heart."""

import h5py
import numpy as np
import pytest
import torch

from dcac_lite.__main__ import main
from dcac_lite.inversion.auxiliary import Auxiliary
from dcac_lite.inversion.released import DIM, learned_by_heart, read_auxiliary


def write_keras(path, arrays):
    """A weights file as Keras 2 writes it: a group for each layer, the order in attributes; layers without weights
    among them."""
    with h5py.File(path, "w") as file:
        names = [f"dense{'' if k == 0 else f'_{k}'}" for k in range(len(arrays) // 2)]
        file.attrs["layer_names"] = [b"input_5", *(name.encode() for name in names)]
        file.create_group("input_5").attrs["weight_names"] = np.array([], "S1")
        for k, name in enumerate(names):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = arrays[2 * k], arrays[2 * k + 1]
    return path


def arrays_of(auxiliary):
    layers = [*auxiliary.hidden, auxiliary.last]
    return [a.detach().numpy() for layer in layers for a in (layer.weight.t(), layer.bias)]


@pytest.fixture
def known():
    torch.manual_seed(0)
    return Auxiliary(DIM).eval()


def test_a_keras_file_becomes_the_same_network(known, tmp_path):
    read = read_auxiliary(write_keras(tmp_path / "auxiliary_generator.hdf5", arrays_of(known)))
    x, variance = torch.linspace(-1, 1, DIM)[None], torch.tensor([0.25])
    assert torch.equal(read(x, variance), known(x, variance))
    assert torch.equal(read.draw(x, 10), known.draw(x, 10))


def test_files_that_are_something_else_are_refused_in_a_sentence(known, tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="expected the released"):
        read_auxiliary(tmp_path / "none.hdf5")
    text = tmp_path / "text.hdf5"
    text.write_text("no weights")
    with pytest.raises(ValueError, match="no weights file of Keras"):
        read_auxiliary(text)
    with pytest.raises(ValueError, match=r"the auxiliary generator has \[\(32, 512\)"):
        read_auxiliary(write_keras(tmp_path / "short.hdf5", arrays_of(known)[:4]))
    with h5py.File(tmp_path / "empty.hdf5", "w"):
        pass
    with pytest.raises(SystemExit):
        main(["inversion", "released", str(tmp_path / "empty.hdf5")])
    assert "no weights file of Keras" in capsys.readouterr().err


def test_learning_by_heart_is_seen(known, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(known, "draw", lambda z, steps: z)  # a density
    assert learned_by_heart(known, 1500) == pytest.approx({"variance": 100, "copies": 0}, abs=2)
    rows = torch.randn(20, DIM, generator=torch.Generator().manual_seed(1))  # twenty rows, again and again
    monkeypatch.setattr(known, "draw", lambda z, steps: rows[torch.arange(len(z)) % 20])
    assert learned_by_heart(known, 1500)["copies"] == 100
    main(["inversion", "released", str(write_keras(tmp_path / "a.hdf5", arrays_of(known))), "--draws", "50"])
    assert "of the variance of the table" in capsys.readouterr().out
