"""How commands speak and stop: talk goes to standard error, one sentence ends what cannot start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from hagnifinder.predict import Predictor


def printable(text: str) -> str:
    """A name or a file's words as a terminal may show them: no line break, no command, no change of direction."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def say(sentence: str) -> None:
    """Print a sentence for the person, on standard error."""
    click.echo(printable(sentence), err=True)


def fail(sentence: str) -> NoReturn:
    """Say why the command could not start, and leave with code 2."""
    say(sentence)
    raise SystemExit(2)


def load(model: str, device: Any) -> Predictor:
    """Load a model by name or file; leave with code 2 when there is none."""
    from hagnifinder.errors import ModelError
    from hagnifinder.predict import Predictor

    try:
        return Predictor.load(model, device)
    except ModelError as error:
        fail(str(error))
