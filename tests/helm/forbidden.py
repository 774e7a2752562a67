"""Every forbidden value, with the message that refuses it."""

import json

import yaml
from chart import ROOT, require, value_sets

FILE = ROOT / "tests/helm/forbidden.yaml"
TEMPLATES = ROOT / "helm/hongbaod/templates"


def cases():
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def shown(value, path=""):
    """The values as people name them: config.redis.mode: cluster."""
    if isinstance(value, dict) and value:
        return ", ".join(shown(inner, f"{path}.{name}".lstrip(".")) for name, inner in value.items())
    # Quoted where YAML would not read a text otherwise.
    plain = isinstance(value, str) and not value.isdigit()
    return f"{path}: {value if plain else json.dumps(value, ensure_ascii=False)}"


def table(said):
    """The cases as Markdown, each with the line that it is answered with."""
    lines = ["| values | what is said |", "|---|---|"]
    for case, line in said:
        values = case.get("show", shown(case["values"]))
        lines.append(f"| {case['what']}: `{values}` | {line} |")
    return "\n".join(lines) + "\n"


def refuse(helm, case):
    """Renders the minimal values with those of the case over them; returns the line that refuses it."""
    file = helm.scratch / f"forbidden-{abs(hash(case['what']))}.yaml"
    file.write_text(yaml.safe_dump(case["values"], allow_unicode=True), encoding="utf-8")
    good, _, error = helm.template([value_sets()["minimal"], file])
    require(not good, f"is taken, and was to be refused: {case['what']}: {case['values']}")
    says = " ".join(case["says"].split())
    lines = [line.removeprefix("- ") for line in error.splitlines() if says in line]
    require(lines, f"{case['what']}:\n  expected: {says}\n  said: {error}")
    for secret in case.get("hides", []):
        require(secret not in error, f"{case['what']}: the message shows the secret: {error}")
    return lines[0]


def check(helm, in_parallel):
    """Returns each case and its answer; every line of the refusals' templates has to be among them."""
    answers = in_parallel(lambda case: refuse(helm, case), cases())
    said = " ".join(answers)
    lines = 0
    for template in sorted(TEMPLATES.glob("_refusals*.tpl")):
        for line in template.read_text(encoding="utf-8").splitlines():
            if line.startswith("- "):
                lines += 1
                parts = [part.split("}}")[-1].strip() for part in line[2:].split("{{")]
                longest = max(parts, key=len)
                require(longest in said, f"no case of forbidden.yaml has it said: {line}")
    require(lines > 40, f"only {lines} refusals are found in the templates")
    return list(zip(cases(), answers))
