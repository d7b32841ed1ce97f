"""A network with random weights on disk, for tests of the way in and out; no test looks at how good it is."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from hagnifinder.checkpoint import save_weights
    from hagnifinder.model import Hagnifinder

    torch.manual_seed(3)
    network = Hagnifinder()
    network.scaling.freeze(0.4)
    card = {
        "name": "drawn",
        "version": "0",
        "backbone": "resnet18",
        "target": "log2_mpp",
        "scales": [1.0, 0.5],
        "calibration": {"q90": 2.0, "floor": 0.15, "max_spread": 50.0, "finest_um": 1e-6, "coarsest_um": 1e6},
    }
    path = tmp_path_factory.mktemp("weights") / "drawn.safetensors"
    save_weights(path, network, card)
    return path
