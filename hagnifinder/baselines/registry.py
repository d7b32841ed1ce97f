"""The compared systems by name."""

from __future__ import annotations

from hagnifinder.baselines import bayramoglu, hagnifinder, multiscale, otalora, wang, zaveri
from hagnifinder.baselines.system import System

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        *hagnifinder.SYSTEMS,
        bayramoglu.SYSTEM,
        wang.SYSTEM,
        otalora.SYSTEM,
        otalora.SHALLOW,
        zaveri.SYSTEM,
        zaveri.LBP,
        multiscale.SYSTEM,
    )
}
