"""Holds renders against the schemas of Kubernetes, the models of CRDs, promtool, and what the chart promises."""

import functools
import json
import subprocess

import kubernetes_validate
import yaml
from chart import ROOT, Failed, of_kind, require, worker
from kubernetes_validate import utils

OLDEST = (1, 28)
CRDS = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication", "ExternalSecret"}
# It reads the same large files for every object.
utils.schema_contents = functools.cache(utils.schema_contents)


def versions():
    found = [version.rsplit(".", 1)[0] for version in utils.all_versions()]
    wanted = [version for version in found if tuple(int(part) for part in version.split(".")) >= OLDEST]
    require("1.28" in wanted and len(wanted) >= 10, f"schemas of {wanted} are there")
    return wanted


def against_kubernetes(name, items, version):
    """Each object that is Kubernetes' own, strictly: no unknown fields, and an unknown kind is an error."""
    for item in items:
        if item["kind"] in CRDS:
            continue
        try:
            used = kubernetes_validate.validate(item, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            where = ".".join(str(part) for part in getattr(error, "absolute_path", ()))
            raise Failed(f"{name}: {item['kind']} {item['metadata']['name']} for {version}: {where}: {error.message}") from error
        require(used == version, f"{name}: {version} was asked for, {used} was looked at")


def against_models(node, script, renders):
    """Each object of an operator, by the models that are made from its CRD."""
    items = [{"from": name, "object": item} for name, found in renders.items() for item in found if item["kind"] in CRDS - {"ExternalSecret"}]
    done = subprocess.run([node, str(script)], input=json.dumps(items), capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"models of CRDs: {done.stdout}{done.stderr}")
    kinds = {item["object"]["kind"] for item in items}
    require(kinds == CRDS - {"ExternalSecret"}, f"only {sorted(kinds)} are rendered")
    return len(items)


def against_promtool(name, items, query, scratch):
    """The rules are Prometheus' rules, and are all there but for those switched off."""
    rules = of_kind(items, "PrometheusRule")
    groups = [*rules[0]["spec"]["groups"]] if rules else []
    checked = [*groups, {"name": "scaling", "rules": [{"record": "job:outstanding", "expr": query}]}]
    file = scratch / f"rules-{name}.yaml"
    file.write_text(yaml.safe_dump({"groups": checked}, allow_unicode=True), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"{name}: promtool: {done.stdout}{done.stderr}")
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def alerts_of_repository():
    found = {}
    for file in ("rules.yaml", "rules_guard.yaml"):
        document = yaml.safe_load((ROOT / "deploy/prometheus" / file).read_text(encoding="utf-8"))
        found |= {rule["alert"]: rule for group in document["groups"] for rule in group["rules"]}
    return found


def promises(name, items):
    """What the chart promises of every pod, looked at in what is rendered."""
    workload = worker(items)
    pods = [workload["spec"]["template"]["spec"]] + [item["spec"] for item in of_kind(items, "Pod")]
    for pod in pods:
        container = pod["containers"][0]
        rules = {
            "no token": pod["automountServiceAccountToken"] is False,
            "no root": pod["securityContext"]["runAsNonRoot"] is True,
            "seccomp": pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"},
            "no privileges": container["securityContext"]["allowPrivilegeEscalation"] is False,
            "read-only root": container["securityContext"]["readOnlyRootFilesystem"] is True,
            "no capabilities": container["securityContext"]["capabilities"] == {"drop": ["ALL"]},
            "no subPath, so that Secrets that change arrive": not any("subPath" in mount for mount in container["volumeMounts"]),
            "keys for nobody else": all(volume["projected"]["defaultMode"] == 0o440 for volume in pod["volumes"] if "projected" in volume),
            "memory is limited": "memory" in container["resources"]["limits"],
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        require(not broken, f"{name}: {broken} of {container['name']}")
    container = pods[0]["containers"][0]
    paths = [container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")]
    require(paths == ["/healthz", "/healthz", "/readyz"], f"{name}: the probes ask {paths}")
    require(container["args"] == ["run"], f"{name}: the worker runs {container['args']}")
    if workload["kind"] == "Deployment":
        require(workload["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, f"{name}: an update stops pods first")
    scaled = bool(of_kind(items, "ScaledObject", "HorizontalPodAutoscaler"))
    require(scaled != ("replicas" in workload["spec"]), f"{name}: replicas is rendered, and so is an autoscaler, or neither is")
    for scaler in of_kind(items, "ScaledObject", "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        require((target["kind"], target["name"]) == (workload["kind"], workload["metadata"]["name"]), f"{name}: {scaler['kind']} scales {target}")
    selectors(name, items, workload)
    for item in items:
        require(len(item["metadata"]["name"]) <= 63, f"{name}: {item['metadata']['name']} is too long a name")
        require(item["kind"] != "Secret", f"{name}: a Secret is rendered")


def selectors(name, items, workload):
    """Whatever selects the workers selects them, and not the pod of `helm test`; the policy selects both."""
    labels = workload["spec"]["template"]["metadata"]["labels"]
    tests = [item["metadata"]["labels"] for item in of_kind(items, "Pod")]
    selects = lambda selector, of: all(of.get(key) == value for key, value in selector.items())
    chosen = [(workload, workload["spec"]["selector"]["matchLabels"])]
    chosen += [(item, item["spec"]["selector"]) for item in of_kind(items, "Service")]
    chosen += [(item, item["spec"]["selector"]["matchLabels"]) for item in of_kind(items, "PodDisruptionBudget", "PodMonitor")]
    for item, selector in chosen:
        require(selects(selector, labels), f"{name}: {item['kind']} does not select the workers")
        require(not any(selects(selector, other) for other in tests), f"{name}: {item['kind']} selects the pod of helm test")
    for policy in of_kind(items, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"]
        require(all(selects(selector, of) for of in [labels, *tests]), f"{name}: the policy leaves a pod out")
        require(sorted(policy["spec"]["policyTypes"]) == ["Egress", "Ingress"], f"{name}: the policy leaves a direction open")
        require(all(rule.get("ports") for rule in policy["spec"]["egress"]), f"{name}: the policy opens every port")
    ports = {port["name"] for port in workload["spec"]["template"]["spec"]["containers"][0]["ports"]}
    for service in of_kind(items, "Service"):
        for port in service["spec"].get("ports", []):
            require(port["targetPort"] in ports, f"{name}: {service['metadata']['name']} leads to no port")
    for monitor in of_kind(items, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        found = [item for item in of_kind(items, "Service") if selects(selector, item["metadata"]["labels"])]
        require(len(found) == 1, f"{name}: the ServiceMonitor selects {len(found)} Services")
