"""Shared fixtures: everything a test writes goes to a folder of the session."""

import os
import tempfile

import pytest

# before dcac_lite is imported anywhere, in this process and in those it starts
_folder = tempfile.mkdtemp(prefix="dcac-tests-")
os.environ["DCAC_RUNS"] = f"{_folder}/runs"
os.environ["TQDM_DISABLE"] = "1"


@pytest.fixture(scope="session")
def smoke_data():
    """The smoke tier's slice of MA as a training set."""
    from dcac_lite import load_domain, training_set

    return training_set([load_domain("MA", "smoke")])


def pytest_sessionfinish():
    import shutil

    shutil.rmtree(_folder, ignore_errors=True)
