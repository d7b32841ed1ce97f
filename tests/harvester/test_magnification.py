"""Which model users see first."""

from hagnifinder.shipped import DEFAULT_NAME, PAPER_NAME
from harvester.magnification import Estimators


def test_the_default_answers_first_and_the_papers_beside_it() -> None:
    chosen = Estimators.choose((), "cpu")

    assert [model_id.split("@")[0] for model_id in chosen.model_ids] == [DEFAULT_NAME, PAPER_NAME]
