"""Which model users see first."""

from hagnifinder.shipped import DEFAULT_NAME, shipped_models
from harvester.magnification import Estimators


def test_every_shipped_model_answers_and_the_default_comes_first() -> None:
    chosen = Estimators.choose((), "cpu")

    assert chosen.model_ids[0].startswith(f"{DEFAULT_NAME}@")
    assert len(chosen.model_ids) == len(shipped_models())
