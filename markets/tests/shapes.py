"""The shape of JSON answers: which keys they have and of what type, without their values.

`recorded_shapes.json` holds the shapes of recorded answers of the venue; it is made anew from the recordings by
`python -m markets.tests.recorded_answers` (see `recorded.py`).
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("recorded_shapes.json")

# path -> (types seen, whether every answer had it). "[]" stands for the members of a list.
Shape = dict[str, tuple[set[str], bool]]


def shape_of(answers: Iterable[Any]) -> Shape:
    """What these answers of one endpoint have in common and how they differ."""
    types: dict[str, set[str]] = {}
    having: dict[str, int] = {}
    holding: dict[str, int] = {"": 0}
    for answer in answers:
        holding[""] += 1
        _walk(answer, "", types, having, holding)
    return {path: (found, having[path] == holding[_parent(path)]) for path, found in types.items()}


def _walk(value: Any, path: str, types: dict[str, set[str]], having: dict[str, int], holding: dict[str, int]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            name = f"{path}.{key}" if path else key
            types.setdefault(name, set()).add(_type(inner))
            having[name] = having.get(name, 0) + 1
            if isinstance(inner, dict):
                holding[name] = holding.get(name, 0) + 1
            _walk(inner, name, types, having, holding)
    elif isinstance(value, list):
        for inner in value:
            name = f"{path}[]"
            types.setdefault(name, set()).add(_type(inner))
            holding[name] = having[name] = holding.get(name, 0) + 1
            _walk(inner, name, types, having, holding)


def _parent(path: str) -> str:
    if path.endswith("[]"):
        return path
    return path.rsplit(".", 1)[0] if "." in path else ""


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "list" if isinstance(value, list) else "object"


def differences(ours: Shape, recorded: Shape, *, newer: Iterable[str] = (), absent: Iterable[str] = ()) -> list[str]:
    """What is wrong with our answers. `newer` keys came after the recording, `absent` ones have no local meaning."""
    known, left_out, wrong = set(newer), set(absent), list[str]()
    for path, (types, always) in recorded.items():
        if any(path == one or path.startswith((f"{one}.", f"{one}[]")) for one in left_out):
            continue
        if path not in ours:
            parent = _parent(path)
            if always and (not parent or parent in ours):
                wrong.append(f"{path} is missing")
        elif not ours[path][0] <= types:
            wrong.append(f"{path} is {sorted(ours[path][0])} instead of {sorted(types)}")
    wrong += [f"{path} is not in the recordings" for path in ours if path not in recorded and not _within(path, known)]
    return wrong


def _within(path: str, names: set[str]) -> bool:
    return any(path == name or path.startswith((f"{name}.", f"{name}[]")) for name in names)


def load() -> dict[str, Shape]:
    stored = json.loads(FILE.read_text())
    return {
        name: {path: (set(types), always) for path, (types, always) in shape.items()} for name, shape in stored.items()
    }


def dump(shapes: dict[str, Shape]) -> str:
    """One line for each path."""
    parts: list[str] = []
    for name, shape in sorted(shapes.items()):
        rows = [
            f"  {json.dumps(path)}: {json.dumps([sorted(types), always])}"
            for path, (types, always) in sorted(shape.items())
        ]
        parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(rows) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"
