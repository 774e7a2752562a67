"""Builds helm/hongbaod/values.schema.json."""

import json
import sys
from pathlib import Path

import config_schema
import example
from config_schema import FILE_KEY, NAME

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "helm/hongbaod/values.schema.json"


def closed(description, **properties):
    return {"type": "object", "description": description, "additionalProperties": False, "properties": properties}


def some(kind, description, **rules):
    return {"description": description, "type": kind, **rules}


def maybe(kind, description, **rules):
    return some([kind, "null"], description, **rules)


def texts(description):
    return some("object", description, additionalProperties={"type": "string"})


def raw(description):
    """What Kubernetes defines, and its API server checks."""
    return some("array", description, items={"type": "object"})


def flag(description):
    return some("boolean", description)


def count(description, low, high=None):
    return some("integer", description, minimum=low, **({} if high is None else {"maximum": high}))


PORTS = {"description": "Ports; null: those of the URLs, else the usual ones.", "type": ["array", "null"], "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
SECONDS = {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"}


def egress(whom):
    return closed(f"The way to {whom}.", to=raw("Peers of a NetworkPolicy; empty: anywhere."), ports=PORTS)


def probe(description):
    return closed(description, periodSeconds=count("How often.", 1), timeoutSeconds=count("How long an answer may take.", 1), failureThreshold=count("How many misses count.", 1))


def monitor(kind):
    return closed(
        f"A {kind} of the Prometheus operator.",
        enabled=flag(f"Render the {kind}."),
        interval=some("string", "How often is scraped.", pattern=SECONDS["pattern"]),
        scrapeTimeout=some("string", "How long a scrape may take.", pattern=SECONDS["pattern"]),
        labels=texts("Labels by which your Prometheus selects it."),
        relabelings=raw("Relabelings before the scrape."),
        metricRelabelings=raw("Relabelings of what was scraped."),
    )


def service(description, *types, **more):
    return closed(description, enabled=flag("Render the Service."), type=some("string", "Its type.", enum=[*types]), annotations=texts("Its annotations."), **more)


TYPES = ("ClusterIP", "NodePort", "LoadBalancer")


def pods():
    return {
        "replicas": count("How many pods; not rendered while autoscaling is on. 0 stops all payments and keeps everything.", 0, 1000),
        "maxSurge": some(["integer", "string"], "How many pods more an update may run; none less is never allowed.", pattern="^[1-9][0-9]{0,2}%$", minimum=1),
        "minReadySeconds": count("How long a pod has to be ready before the next is replaced.", 0),
        "progressDeadlineSeconds": count("After how long an update counts as stuck.", 1),
        "revisionHistoryLimit": count("How many old ReplicaSets are kept for kubectl rollout undo.", 0),
        "terminationGracePeriodSeconds": maybe("integer", "How long a pod may take to end. Null: config.shutdown.grace and 10 seconds; less than grace and 5 seconds is refused.", minimum=1),
        "deploymentAnnotations": texts("Annotations of the Deployment or StatefulSet."),
        "podAnnotations": texts("Annotations of the pods."),
        "podLabels": texts("Labels of the pods."),
        "resources": some("object", "Requests and limits, as Kubernetes defines them.", additionalProperties=False, properties={"requests": some("object", "What a node must have free."), "limits": some("object", "What is never exceeded."), "claims": some("array", "Claims of devices.")}),
        "podSecurityContext": closed(
            "Who the process is. The rest of the restricted profile is fixed: no root, no privileges, a read-only root.",
            runAsUser=maybe("integer", "User id; null: the cluster chooses (OpenShift).", minimum=1),
            runAsGroup=maybe("integer", "Group id.", minimum=1),
            fsGroup=maybe("integer", "Group of the mounted files.", minimum=1),
            supplementalGroups=some("array", "Further groups.", items={"type": "integer", "minimum": 1}),
            fsGroupChangePolicy=maybe("string", "When the group of a disk's files is changed.", enum=["Always", "OnRootMismatch", None]),
        ),
        "serviceAccount": closed("The pods' ServiceAccount. No token is mounted.", create=flag("Create one."), name={"description": "Its name; null: the full name, or default without create.", **NAME, "type": ["string", "null"]}, annotations=texts("Its annotations.")),
        "priorityClassName": maybe("string", "The pods' PriorityClass."),
        "nodeSelector": texts("Labels that a node must have."),
        "tolerations": raw("Taints that are tolerated."),
        "podAntiAffinity": some("string", "Different nodes: if possible (soft), or not at all (hard).", enum=["soft", "hard", "none"]),
        "affinity": maybe("object", "Instead of podAntiAffinity."),
        "topologySpreadConstraints": some(["array", "null"], "Null: over zones and nodes as far as possible. A labelSelector that is absent is filled in.", items={"type": "object"}),
        "podDisruptionBudget": closed(
            "How many pods a drain of nodes may take at a time.",
            enabled=flag("Render the PodDisruptionBudget."),
            maxUnavailable=some(["integer", "string", "null"], "At most so many away.", minimum=1, pattern="^[1-9][0-9]?%$|^100%$"),
            minAvailable=some(["integer", "string", "null"], "At least so many there; counts instead of maxUnavailable.", minimum=1, pattern="^[1-9][0-9]?%$"),
        ),
        "probes": closed("The probes, all httpGet at config.admin.listen.", startup=probe("GET /healthz until the first success."), liveness=probe("GET /healthz; failing restarts the container."), readiness=probe("GET /readyz: RabbitMQ, Redis, no app blocked, not draining.")),
        "extraEnv": some("array", "Further variables. Secrets only by valueFrom.", items={"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}),
        "extraVolumes": raw("Further volumes."),
        "extraVolumeMounts": raw("Further mounts."),
        "extraObjects": raw("Whole objects that belong to the release. Secrets are refused."),
    }


def scaling():
    keda = closed(
        "A ScaledObject of KEDA.",
        enabled=flag("Render the ScaledObject."),
        trigger=some("string", "Whom KEDA asks.", enum=["rabbitmq", "prometheus"]),
        pollingInterval=count("How often, in seconds.", 1),
        rabbitmq=closed(
            "RabbitMQ's management API.",
            secret={"description": "A Secret with the URL http://user:password@host:15672/vhost.", **NAME, "type": ["string", "null"]},
            key={"description": "Its key.", **FILE_KEY, "type": ["string", "null"]},
        ),
        prometheus=closed("A Prometheus that scrapes RabbitMQ, per queue.", serverAddress=maybe("string", "Its address.", pattern="^https?://[^@]+$"), query=maybe("string", "Null: all messages of the job and retry queues of config.rabbitmq.prefix.")),
    )
    hpa = closed("A HorizontalPodAutoscaler on an external metric.", enabled=flag("Render the HorizontalPodAutoscaler."), metric=closed("What an adapter offers.", name=some("string", "Name of the metric.", minLength=1), matchLabels=texts("Labels by which it is selected.")))
    return closed(
        "Replicas by the number of jobs that are ready, unacked and deferred.",
        minReplicas=count("Never fewer.", 1),
        maxReplicas=count("Never more.", 1),
        jobsPerReplica=count("How many jobs one replica is for.", 1),
        behavior=maybe("object", "Null: up fast, down one pod a minute after five quiet minutes."),
        keda=keda,
        hpa=hpa,
    )


def surroundings():
    persistence = closed(
        "The disk of the audit log.",
        enabled=flag("A StatefulSet with a disk for each pod, instead of a Deployment."),
        mountPath=some("string", "Where it is mounted.", pattern="^/.+"),
        size=some("string", "How big each is.", pattern="^[0-9]+(Mi|Gi|Ti)$"),
        storageClassName=maybe("string", "Null: the cluster's default."),
        accessModes=some("array", "Of each disk.", items={"type": "string", "enum": ["ReadWriteOnce", "ReadWriteOncePod"]}, minItems=1),
        annotations=texts("Annotations of the claims."),
        existingClaim={"description": "A ReadWriteMany claim that is there; each pod has a directory of its own in it, and the Deployment stays.", **NAME, "type": ["string", "null"]},
    )
    policy = closed(
        "Who may talk to whom.",
        enabled=flag("Render the NetworkPolicy."),
        ingress=closed("Who may come.", admin=raw("Who scrapes metrics and looks at the page; empty: nobody."), notify=raw("Who brings notifications; empty: nobody."), extra=raw("Further rules.")),
        egress=closed("Where to.", rabbitmq=egress("RabbitMQ"), redis=egress("Redis"), alipay=egress("Alipay"), dns=egress("the name server"), otlp=egress("the collector of config.trace.otlp_endpoint"), extra=raw("Further rules.")),
    )
    rule = closed("The alerts of deploy/prometheus.", enabled=flag("Render the PrometheusRule."), labels=texts("Labels by which your Prometheus selects it."), runbookBase=maybe("string", "Put before docs/operations.md#... in the annotation runbook_url.", pattern="^https?://.+"), disabled=some("array", "Names of alerts that are left out.", items={"type": "string"}))
    dashboard = closed("The dashboard of deploy/grafana.", enabled=flag("Render the ConfigMap."), labels=texts("Labels by which Grafana's sidecar finds it."), annotations=texts("Its annotations."))
    ingress = closed(
        "The Ingress for /alipay/notify/.",
        enabled=flag("Render the Ingress."),
        className=maybe("string", "The IngressClass."),
        annotations=texts("Its annotations."),
        hosts=some("array", "Host names.", items={"type": "string", "pattern": "^[a-z0-9*]([-a-z0-9.]*[a-z0-9])?$"}),
        tls=some("array", "Certificates.", items={"type": "object", "additionalProperties": False, "properties": {"secretName": NAME, "hosts": {"type": "array", "items": {"type": "string"}}}}),
        tlsTerminatedElsewhere=flag("True if TLS ends before the ingress controller."),
    )
    return {
        "audit": closed("Where the audit log is kept.", persistence=persistence),
        "networkPolicy": policy,
        "metrics": closed("Metrics, alerts, dashboard.", service=service("The Service of the admin listener.", *TYPES), podMonitor=monitor("PodMonitor"), serviceMonitor=monitor("ServiceMonitor"), prometheusRule=rule, dashboard=dashboard),
        "notify": closed("The way of Alipay's notifications.", service=service("The Service of config.notify.listen.", *TYPES, port=count("Its port.", 1, 65535), publishNotReadyAddresses=flag("Lead to pods that are not ready too.")), ingress=ingress),
        "tests": closed("What `helm test` runs.", enabled=flag("Render the test pod.")),
        "global": {"description": "Unused; there for charts that have this one as a part.", "type": "object"},
    }


def build():
    """The whole schema."""
    image = closed(
        "The image.",
        repository=some("string", "Its name.", pattern="^[a-z0-9][a-zA-Z0-9._/:-]*$"),
        tag=maybe("string", "Null: the chart's appVersion.", pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"),
        digest=maybe("string", "Counts instead of the tag.", pattern="^sha256:[0-9a-f]{64}$"),
        pullPolicy=some("string", "When it is pulled.", enum=["Always", "IfNotPresent", "Never"]),
    )
    properties = {
        "config": config_schema.build(example.read(ROOT / "config.example.toml")),
        "nameOverride": maybe("string", "Instead of the chart's name."),
        "fullnameOverride": maybe("string", "Instead of release and name."),
        "commonLabels": texts("Labels of every object."),
        "image": image,
        "imagePullSecrets": some("array", "Secrets for the registry.", items={"type": "object", "additionalProperties": False, "required": ["name"], "properties": {"name": NAME}}),
        **pods(),
        "autoscaling": scaling(),
        **surroundings(),
    }
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart hongbaod", "type": "object", "additionalProperties": False, "properties": properties}


def text():
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{OUTPUT.relative_to(ROOT)} written\n")
