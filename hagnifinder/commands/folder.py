"""`hagnifinder predict --same-camera`: a folder's pictures judged together. Heavy imports happen inside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hagnifinder.commands.say import fail, say

if TYPE_CHECKING:
    from hagnifinder.predict import Estimate
    from hagnifinder.stream import Answer

_BELIEVABLE_UM = (0.01, 100.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture's answer as it is told.

    Attributes:
        answer: with what the folder made of the estimate, where it said something.
        joint: further fields of the row; empty when pictures are judged one by one.
    """

    answer: Answer
    joint: dict[str, Any]


def parse_known(items: Sequence[str]) -> dict[str, float]:
    """Read FILE=MPP pairs.

    Raises:
        click.BadParameter: when one is none.
    """
    known: dict[str, float] = {}
    for item in items:
        name, _, number = item.rpartition("=")
        try:
            mpp_um = float(number)
        except ValueError:
            mpp_um = math.nan
        if not name or not _BELIEVABLE_UM[0] <= mpp_um <= _BELIEVABLE_UM[1]:
            raise click.BadParameter(
                f"{item!r} is not FILE=MPP with 0.01 to 100 µm per pixel, as in a.jpg=0.25.", param_hint="--known"
            )
        known[name] = mpp_um
    return known


def judge_together(answers: Iterable[Answer], known: dict[str, float]) -> Iterator[Answer | Judged]:
    """Ask all pictures first, then tell what follows from all; only densities and sizes are held meanwhile.

    What cannot be read is passed on at once. Leaves with code 2 when a known picture is not among them.
    """
    from hagnifinder.joint import FIT, joint_estimate, solve

    good: list[Answer] = []
    for answer in answers:
        if answer.estimate is None:
            yield answer
        else:
            good.append(replace(answer, rgb=None))
    if not good:
        return
    known_um = _numbered(known, [answer.name for answer in good])
    camera, found = solve([answer.density for answer in good], known_um, FIT)
    if camera is not None:
        say(
            f"One camera for {sum(a.objective_x is not None for a in found):,} of {len(good):,} pictures: "
            f"{camera.camera_um:.3g} µm/px at 1x ({camera.camera_lo_um:.3g} to {camera.camera_hi_um:.3g})."
        )
    for answer, joint in zip(good, found, strict=True):
        single = answer.estimate
        assert single is not None
        fits = joint.centre is not None
        if not fits:
            say(f"{answer.name} {_why_not(single)}; its own estimate stands.")
        estimate = joint_estimate(single, joint, FIT, is_anchored=bool(known_um))
        row = {
            "joint": fits,
            "known": joint.is_known,
            "cluster_x": joint.objective_x,
            "camera_um": camera.camera_um if camera and fits else None,
            "single_mpp_um": single.mpp_um,
            "single_mpp_lo_um": single.mpp_lo_um,
            "single_mpp_hi_um": single.mpp_hi_um,
            "single_abstained": single.abstained,
            "single_reason": single.reason,
        }
        yield Judged(replace(answer, estimate=estimate), row)


def _why_not(single: Estimate) -> str:
    if single.reason in ("too_small", "too_little_tissue", "no_detail"):
        return f"has no say ({single.reason.replace('_', ' ')})"
    return "fits no cluster of this camera"


def _numbered(known: dict[str, float], names: Sequence[str]) -> dict[int, float]:
    """Find the known pictures among the judged: the same file, else the only one of that name."""
    numbered: dict[int, float] = {}
    for name, mpp_um in known.items():
        matches = [i for i, other in enumerate(names) if _is_same(name, other)]
        matches = matches or [i for i, other in enumerate(names) if Path(other).name == name]
        if len(matches) != 1:
            fail(
                f"--known {name}: there is no such picture among those given."
                if not matches
                else f"--known {name}: {len(matches)} pictures have this name; give the whole path."
            )
        numbered[matches[0]] = mpp_um
    return numbered


def _is_same(name: str, other: str) -> bool:
    try:
        return Path(name).resolve() == Path(other).resolve()
    except (OSError, ValueError):
        return False
