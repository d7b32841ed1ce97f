"""The batch process answers everything exactly once, whatever single items do to it."""

from __future__ import annotations

import time

import pytest

from harvester.engines.batch import BatchWorker
from harvester.errors import HarvestError
from tests.harvester.engines.chores import broken_factory, echo_factory


def drain(worker, n):
    answers, end = [], time.monotonic() + 60
    while len(answers) < n and time.monotonic() < end:
        answers.extend(worker.poll(0.2))
    return answers


def test_every_item_is_answered_in_order_and_in_batches():
    items = [f"i{n}" for n in range(200)]
    with BatchWorker(echo_factory, batch=8, limit=32) as worker:
        assert worker.about == "ready to echo"
        worker.submit(items)
        answers = drain(worker, len(items))

    assert [a.item for a in answers] == items
    assert all(a.error is None for a in answers)
    assert max(int(a.answer.rsplit(" ", 1)[1]) for a in answers) > 1


def test_an_item_that_raises_is_reported_alone():
    with BatchWorker(echo_factory, batch=8) as worker:
        worker.submit(["a", "raise", "b"])
        answers = drain(worker, 3)

    errors = {a.item: a.error for a in answers}
    assert errors["raise"] and "cannot answer" in errors["raise"]
    assert errors["a"] is None and errors["b"] is None


def test_an_item_that_kills_the_process_is_found_and_the_others_are_answered():
    items = ["a", "b", "die", "c", "d"]
    with BatchWorker(echo_factory, batch=8) as worker:
        worker.submit(items)
        answers = drain(worker, len(items))

    assert sorted(a.item for a in answers) == sorted(items)
    assert [a.item for a in answers if a.error] == ["die"]


def test_a_model_that_cannot_load_is_one_sentence():
    with pytest.raises(HarvestError, match="no weights here"):
        BatchWorker(broken_factory)
