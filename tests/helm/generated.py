"""What is written from other sources: the schema, and tables in Markdown."""

import json

import configuration
import forbidden
import schema
import yaml
from chart import CHART, ROOT, Failed


def kind_of(part):
    if "enum" in part:
        return " or ".join("null" if word is None else f"`{word}`" for word in part["enum"])
    kinds = part.get("type", "any")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def rows(part, defaults, path=()):
    """One row for each value; what has no default of its own parts is one value."""
    for name, inner in part["properties"].items():
        default = defaults.get(name) if isinstance(defaults, dict) else None
        if path == () and name in ("config", "global"):
            continue
        if inner.get("properties") and isinstance(default, dict) and inner.get("additionalProperties") is False and default:
            yield from rows(inner, default, (*path, name))
            continue
        shown = "" if default is None else f"`{json.dumps(default)}`".replace("|", "\\|")
        if len(shown) > 80:
            shown = "see values.yaml"
        yield f"| `{'.'.join((*path, name))}` | {kind_of(inner)} | {shown} | {inner['description']} |"


def readme_table():
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    lines = ["| value | type | default | what it is |", "|---|---|---|---|", *rows(schema.build(), defaults)]
    return "\n".join(lines) + "\n"


def put(text, name, table):
    """Puts the table between its two marks."""
    begin, end = f"<!-- {name}: written by tests/helm/run --update -->\n", f"<!-- end of {name} -->"
    if begin not in text or end not in text:
        raise Failed(f"the marks of {name} are missing")
    head, rest = text.split(begin)
    return f"{head}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"


def compare(file, make, update):
    """Compares with what `make` makes of the text that is there, or writes it anew."""
    known = file.read_text(encoding="utf-8")
    text = make(known)
    if update and text != known:
        file.write_text(text, encoding="utf-8")
    elif text != known:
        raise Failed(f"{file.relative_to(ROOT)} is not up to date: tests/helm/run --update")


def check_schema(update):
    compare(schema.OUTPUT, lambda _: schema.text(), update)


def check_tables(update, said):
    compare(CHART / "README.md", lambda text: put(text, "values", readme_table()), update)
    compare(ROOT / "docs/kubernetes.md", lambda text: put(put(text, "keys", configuration.table()), "refusals", forbidden.table(said)), update)
