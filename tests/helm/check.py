"""The checks of tests/helm/run. Usage: check.py MODE HELM HONGBAOD SCRATCH"""

import filecmp
import os
import shutil
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import configuration
import forbidden
import generated
import validation
import yaml
from chart import CHART, ROOT, Failed, Helm, objects, of_kind, require, toml_of, value_sets, worker

GOLDEN = ROOT / "tests/helm/golden"
COPIES = {"rules.yaml": "prometheus/rules.yaml", "rules_guard.yaml": "prometheus/rules_guard.yaml", "dashboard.json": "grafana/hongbaod.json"}


def in_parallel(function, *lists):
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(function, *lists))


def check_versions():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    crate = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
    found = (chart["version"], chart["appVersion"])
    require(found == (crate, crate), f"Chart.yaml has the versions {found}, Cargo.toml {crate}")


def check_copies(update):
    for copy, original in COPIES.items():
        source, target = ROOT / "deploy" / original, CHART / "files" / copy
        if update:
            shutil.copy(source, target)
        require(filecmp.cmp(source, target, shallow=False), f"{target.relative_to(ROOT)} is not deploy/{original}: tests/helm/run --update")


def check_empty(helm):
    """With nothing set: lint passes and says what is missing, template refuses and says the same."""
    good, text, error = helm.run("lint", str(CHART))
    require(good and "config.alipay.apps: no app is configured" in text + error, f"helm lint from empty: {text}{error}")
    good, _, error = helm.template([])
    for message in ("config.rabbitmq: where it is, is missing", "config.redis: where it is, is missing", "config.alipay.apps: no app is configured"):
        require(not good and message in error, f"helm template from empty: {error}")


def check_golden(name, suffix, text, update):
    file = GOLDEN / f"{name}{suffix}"
    if update:
        file.write_text(text, encoding="utf-8")
    known = file.read_text(encoding="utf-8") if file.exists() else ""
    if known != text:
        lines = zip(known.splitlines() + [""] * 9999, text.splitlines())
        first = next((f"-{old}\n+{new}" for old, new in lines if old != new), "its end")
        raise Failed(f"{file.relative_to(ROOT)} is another; first:\n{first}\ntests/helm/run --update writes it anew; look at the difference")


def strip_dashboard(text):
    """The dashboard is compared with its original; the snapshots need not hold it once more."""
    parts = text.split("---\n")
    return "---\n".join(part for part in parts if "templates/dashboard.yaml" not in part)


def check_dashboard(renders):
    original = (ROOT / "deploy/grafana/hongbaod.json").read_text(encoding="utf-8")
    found = [item["data"]["hongbaod.json"] for items in renders.values() for item in of_kind(items, "ConfigMap") if "hongbaod.json" in item["data"]]
    require(found and all(text.strip() == original.strip() for text in found), "the dashboard of the ConfigMap is another")


def check_checksum(helm):
    """Another configuration makes other pods; the same one does not."""
    file = value_sets()["minimal"]
    sums = []
    for arguments in ((), ("--set", "config.log.level=debug"), ("--set", "metrics.dashboard.enabled=true")):
        items = objects(helm.render([file], *arguments))
        sums.append(worker(items)["spec"]["template"]["metadata"]["annotations"]["checksum/config"])
    require(sums[0] == sums[2] != sums[1], f"checksum/config: {sums}")


def check_package(helm, scratch):
    """The package holds all that a render needs, and nothing that is not meant for it."""
    good, text, error = helm.run("package", str(CHART), "--destination", str(scratch))
    require(good, f"helm package: {text}{error}")
    package = next(scratch.glob("hongbaod-*.tgz"))
    file = value_sets()["everything"]
    require(helm.render([file], chart=package) == helm.render([file]), "the package renders otherwise than the directory")


def check_alerts(renders, scratch):
    known = validation.alerts_of_repository()
    query = 'sum({__name__=~"rabbitmq_(detailed_)?queue_messages", queue=~"hongbao[.]jobs[.].+|hongbao[.]retry[.].+"})'
    rendered = {trigger["metadata"]["query"] for items in renders.values() for item in of_kind(items, "ScaledObject") for trigger in item["spec"]["triggers"] if trigger["type"] == "prometheus"}
    require(rendered == {query}, f"the ScaledObject asks {rendered}")
    require(f"{query}" in (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8"), "docs/kubernetes.md has another query of the jobs outstanding")
    production = validation.against_promtool("production", renders["production"], query, scratch)
    require(production == known, "the PrometheusRule has not the rules of deploy/prometheus")
    everything = validation.against_promtool("everything", renders["everything"], query, scratch)
    require(set(known) - set(everything) == {"HongbaodBudgetWarned"}, "disabled alerts are there, or others are not")
    for name, rule in everything.items():
        require(rule["annotations"]["runbook_url"] == f"https://git.example.com/hongbaod/blob/main/docs/operations.md#{name.lower()}", f"{name}: {rule['annotations']}")
    return len(known)


def check_examples(helm):
    for file in sorted((CHART / "examples").glob("*.yaml")):
        items = objects(helm.render([file]))
        validation.against_kubernetes(file.name, [item for item in items if item["kind"] not in validation.CRDS], "1.32")
        validation.promises(file.name, items)


def check_binary(renders, hongbaod, scratch):
    names = list(renders)
    for name, (code, rows, error) in zip(names, in_parallel(lambda name: configuration.check_with_binary(name, renders[name], hongbaod, scratch), names)):
        configuration.judge(name, code, rows, error)


def check_mistake(helm, hongbaod, scratch):
    """What the schema cannot see, the binary does: the check above can fail."""
    items = objects(helm.render([value_sets()["minimal"]], "--set-string", "config.budget.per_app.minute=2.00,config.budget.per_app.hour=1.00"))
    code, rows, _ = configuration.check_with_binary("mistake", items, hongbaod, scratch)
    require(code == 78 and any(row["subject"].startswith("budget") or "budget.per_app" in str(row) for row in rows), f"a cap that is no cap: {code} {rows}")


def render_for_policy(helm, scratch):
    """Renders for checkov: the pod of helm test, which ends by itself and so has no probes, apart from the rest."""
    # Values that are there to show what a user may override are left out.
    usual = ("--set", "podSecurityContext.runAsUser=10001,podSecurityContext.fsGroup=10001,extraEnv=null")
    for directory in ("workers", "tests"):
        (scratch / directory).mkdir()
    sets = value_sets()
    renders = dict(zip(sets, in_parallel(lambda file: helm.render([file], *usual), sets.values())))
    for name, text in renders.items():
        items = objects(text)
        pods = of_kind(items, "Pod", "NetworkPolicy")
        rest = [item for item in items if item["kind"] != "Pod"]
        (scratch / f"workers/{name}.yaml").write_text(yaml.safe_dump_all(rest), encoding="utf-8")
        (scratch / f"tests/{name}.yaml").write_text(yaml.safe_dump_all(pods), encoding="utf-8")


def run(mode, helm, hongbaod, scratch):
    update = mode == "update"
    began = time.monotonic()
    said = lambda text: print(f"{time.monotonic() - began:5.1f} s  {text}", flush=True)
    generated.check_schema(update)
    check_versions()
    check_copies(update)
    keys, _ = configuration.compare_with_example()
    said(f"{len(keys)} keys of config.example.toml are in values.yaml and in the schema, and no others")
    check_empty(helm)
    sets = value_sets()
    texts = dict(zip(sets, in_parallel(lambda file: helm.render([file]), sets.values())))
    renders = {name: objects(text) for name, text in texts.items()}
    notes = dict(zip(sets, [helm.notes([file]) for file in sets.values()]))
    for name, file in sets.items():
        good, text, error = helm.run("lint", str(CHART), "--strict", "--values", str(file))
        require(good and "[INFO] Fail" not in text + error, f"helm lint {name}: {text}{error}")
        check_golden(name, ".yaml", strip_dashboard(texts[name]), update)
        check_golden(name, ".notes.txt", notes[name], update)
        validation.promises(name, renders[name])
    check_dashboard(renders)
    check_checksum(helm)
    check_package(helm, scratch)
    check_examples(helm)
    # The slow lane finds them as they must be.
    render_for_policy(helm, scratch)
    said(f"{len(sets)} value sets are linted, rendered and packaged as the snapshots say, with {sum(map(len, renders.values()))} objects")
    refused = forbidden.check(helm, in_parallel)
    generated.check_tables(update, refused)
    said(f"{len(refused)} forbidden values are refused, each with its message")
    versions = validation.versions()
    for version in versions:
        for name, items in renders.items():
            validation.against_kubernetes(name, items, version)
    said(f"valid for Kubernetes {versions[0]} to {versions[-1]}")
    count = validation.against_models("node", ROOT / "target/helm/node/crds.mjs", renders)
    said(f"{count} objects of operators are valid; promtool takes {check_alerts(renders, scratch)} alerts")
    rendered = set().union(*(configuration.compare_render(name, sets[name], renders[name]) for name in sets))
    configuration.every_key_is_rendered(rendered)
    check_binary(renders, hongbaod, scratch)
    check_mistake(helm, hongbaod, scratch)
    said(f"hongbaod reads {len(sets)} rendered configurations, in which every key is, and refuses a wrong one")


def main():
    mode, binary, hongbaod, scratch = sys.argv[1:]
    scratch = Path(scratch)
    helm = Helm(binary, scratch)
    try:
        if mode == "table":
            print(configuration.table(), end="")
        elif mode == "render":
            render_for_policy(helm, scratch)
        else:
            run(mode, helm, Path(hongbaod), scratch)
            print("tests/helm/run: everything holds")
    except Failed as failure:
        sys.exit(f"tests/helm/run: {failure}")


if __name__ == "__main__":
    main()
