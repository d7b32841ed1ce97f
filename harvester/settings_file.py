"""DIR/settings.toml: what the newest run of each command was asked to do, for a person to read and to repeat."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "settings.toml"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    # TOML's basic strings are JSON's, but that TOML wants DEL escaped and no surrogate escapes
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def to_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return tables of plain values as TOML text; keys must be bare keys."""
    parts = []
    for name, table in sorted(tables.items()):
        lines = [f"{key} = {_value(value)}" for key, value in sorted(table.items()) if value is not None]
        parts.append("\n".join([f"[{name}]", *lines]))
    return "\n\n".join(parts) + "\n"


def write_settings(root: Path, command: str, settings: Mapping[str, Any]) -> None:
    """Replace one command's table in the harvest's settings.toml; the others stay. Never holds a secret."""
    path = root / NAME
    try:
        tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        tables = {}
    tables = {name: table for name, table in tables.items() if isinstance(table, dict)}
    tables[command] = dict(settings)
    part = path.with_suffix(".toml.part")
    part.write_text("# What this harvest was asked to do, by command.\n\n" + to_toml(tables), encoding="utf-8")
    part.replace(path)
