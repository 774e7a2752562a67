"""Reads config.example.toml: every key, those behind a `#` too, with its comment and its value."""

import re
import tomllib
from dataclasses import dataclass

KEY = re.compile(r"^(# )?([a-z_]+) = (.+)$")
TABLE = re.compile(r"^(# )?\[([a-z_.]+)\]$")


@dataclass
class Key:
    """One key; the name of an app is `*` in its path."""

    path: str
    comment: str
    value: object
    optional: bool


def leaves(path, value):
    """A table in place is as many keys as it holds."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(f"{path}.{name}", inner)
    else:
        yield path, value


def read(file):
    """Returns every key in the order of the file."""
    keys, table, comment, fresh = [], "", [], False
    for line in file.read_text(encoding="utf-8").splitlines():
        if found := TABLE.match(line):
            table, comment, fresh = found[2].replace("apps.main", "apps.*"), [], False
        elif found := KEY.match(line):
            value = tomllib.loads(f"value = {found[3]}")["value"]
            text = " ".join(comment)
            for path, leaf in leaves(f"{table}.{found[2]}", value):
                keys.append(Key(path, text, leaf, found[1] is not None))
            fresh = False
        elif line.startswith("# ") and not line.startswith("# ---"):
            # Keys one after the other share the comment before them.
            comment = [*comment, line[2:]] if fresh else [line[2:]]
            fresh = True
        elif not line:
            comment, fresh = [], False
    return keys
