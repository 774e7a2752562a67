"""Runs Helm on the chart."""

import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/hongbaod"
VALUES = ROOT / "tests/helm/values"
RELEASE, NAMESPACE = "pay", "payments"

NOTES = """
---
apiVersion: v1
kind: ConfigMap
metadata: { name: notes }
data:
  notes: |
    {{- include "notes" . | nindent 4 }}
"""


class Failed(Exception):
    """Something that has to hold does not."""


def require(holds, message):
    """Ends the run with this message unless `holds`."""
    if not holds:
        raise Failed(message)


class Helm:
    """The Helm binary, with directories of its own."""

    def __init__(self, binary, scratch):
        self.binary, self.scratch = binary, Path(scratch)
        home = str(self.scratch / "home")
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": home, "HELM_CACHE_HOME": home, "HELM_CONFIG_HOME": home, "HELM_DATA_HOME": home}

    def run(self, *arguments):
        """Runs one command; returns whether it succeeded, and all that it printed."""
        done = subprocess.run([self.binary, *arguments], env=self.environment, capture_output=True, text=True, check=False)
        return done.returncode == 0, done.stdout, done.stderr

    def template(self, values, *arguments, chart=CHART, version="1.32"):
        files = [part for file in values for part in ("--values", str(file))]
        return self.run("template", RELEASE, str(chart), "--namespace", NAMESPACE, "--kube-version", version, *files, *arguments)

    def render(self, values, *arguments, **options):
        """Renders; returns the text."""
        good, text, error = self.template(values, *arguments, **options)
        require(good, f"helm template {[str(file) for file in values]}: {error}")
        return text

    def notes(self, values):
        """What NOTES.txt says: rendered by a copy of the chart that puts it into an object."""
        copy = self.scratch / "chart-with-notes"
        if not copy.exists():
            shutil.copytree(CHART, copy)
            notes = copy / "templates/NOTES.txt"
            text = '{{- define "notes" -}}\n' + notes.read_text(encoding="utf-8") + "{{- end -}}" + NOTES
            (copy / "templates/zz-notes.yaml").write_text(text, encoding="utf-8")
            notes.unlink()
        text = self.render(values, "--show-only", "templates/zz-notes.yaml", chart=copy)
        return yaml.safe_load(text)["data"]["notes"] + "\n"


def objects(text):
    """The objects of a render."""
    return [item for item in yaml.safe_load_all(text) if item]


def of_kind(items, *kinds):
    return [item for item in items if item["kind"] in kinds]


def value_sets():
    """The value sets by name."""
    return {file.stem: file for file in sorted(VALUES.glob("*.yaml"))}


def toml_of(items):
    """The text of hongbaod.toml."""
    for item in of_kind(items, "ConfigMap"):
        if "hongbaod.toml" in item["data"]:
            return item["data"]["hongbaod.toml"]
    raise Failed("no hongbaod.toml is rendered")


def worker(items):
    """The Deployment or StatefulSet."""
    found = of_kind(items, "Deployment", "StatefulSet")
    require(len(found) == 1, f"{len(found)} workloads are rendered")
    return found[0]
