"""What deploy/Dockerfile, .dockerignore and deploy/compose.yaml say of each other and of the sources."""

import re
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
problems = []


def must(holds, problem):
    if not holds:
        problems.append(problem)


def load(path):
    return YAML(typ="safe").load(path.read_text())


# ------------------------------------------------------------------ the build's context

lines = [line.strip() for line in (ROOT / ".dockerignore").read_text().splitlines()]
rules = [line for line in lines if line and not line.startswith("#")]
must(rules[0] == "*", ".dockerignore does not begin by keeping everything out")
must(all(rule.startswith("!") for rule in rules[1:]), ".dockerignore is no list of what is let in")
let_in = [ROOT / rule[1:] for rule in rules[1:]]

dockerfile = (DEPLOY / "Dockerfile").read_text()
copied = []
for arguments in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE):
    copied += [ROOT / source for source in arguments.split()[:-1]]


def is_below(path, places):
    return any(path == place or place in path.parents for place in places)


must(set(let_in) == set(copied), f".dockerignore lets in {let_in}, COPY takes {copied}")
for path in let_in:
    must(path.exists(), f"{path} is not there")

# Every file that the compiler reads: sources, and what they include. Tests are not built.
included = [ROOT / "Cargo.toml", ROOT / "Cargo.lock", ROOT / "build.rs"]
for source in sorted((ROOT / "src").rglob("*.rs")):
    if "tests" in source.parts or source.name == "tests.rs":
        continue
    for name in re.findall(r'include(?:_str|_bytes)?!\(\s*"([^"]+)"', source.read_text()):
        path = (source.parent / name).resolve()
        must(path.exists(), f"{source}: {name} is not there")
        included.append(path)
must(len(included) > 6, "the sources include nothing: the search is broken")
for path in included:
    must(is_below(path, let_in) and is_below(path, copied), f"the image's build does not get {path}")

# ------------------------------------------------------------------ the Compose file

compose = load(DEPLOY / "compose.yaml")
services = compose["services"]
for name, service in services.items():
    for port in service.get("ports", []):
        must(port.startswith("127.0.0.1:"), f"{name}: {port} is open to other machines")
    for volume in service.get("volumes", []):
        source, target = volume.split(":")[:2]
        if source.startswith("."):
            must((DEPLOY / source).exists(), f"{name}: {source} is not there")
            must(volume.endswith(":ro"), f"{name}: {source} may be written to")
        else:
            must(source in compose["volumes"], f"{name}: the volume {source} is not declared")
    for other in service.get("depends_on", []):
        must(other in services, f"{name} waits for {other}, which is not there")
        is_waited_for = isinstance(service["depends_on"], dict)
        must(not is_waited_for or "healthcheck" in services[other], f"{other} has no health check")
    if service["image"] == "hongbaod":
        must(service["read_only"] and service["cap_drop"] == ["ALL"], f"{name} may do too much")

workers = [name for name, service in services.items() if service.get("command") == ["run"]]
must(len(workers) == 2, f"there are {len(workers)} workers")

prometheus = load(DEPLOY / "compose/prometheus.yml")
mounted = {volume.split(":")[1] for volume in services["prometheus"]["volumes"]}
for rule in prometheus["rule_files"]:
    must(f"/etc/prometheus/{rule}" in mounted, f"Prometheus has no {rule}")
targets = [
    target
    for job in prometheus["scrape_configs"]
    for static in job["static_configs"]
    for target in static["targets"]
]
must({f"{worker}:9464" for worker in workers} <= set(targets), "a worker is not scraped")

worker_config = (DEPLOY / "compose/hongbaod.toml").read_text()
source = load(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]
hosts = [target.split(":")[0] for target in targets]
hosts += re.findall(r"//(?:[^@/]*@)?([^:/]+):", worker_config + source["url"])
must(len(hosts) >= 7, f"only {hosts} are named: the search is broken")
for host in hosts:
    must(host in services, f"{host} is named, and no service")
dashboards = load(DEPLOY / "grafana/provisioning/dashboards/hongbaod.yaml")["providers"][0]
mounted = {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
must(home in mounted and home.startswith(dashboards["options"]["path"]), "Grafana has no dashboard")

# ------------------------------------------------------------------ one version

cargo = (ROOT / "Cargo.toml").read_text()
version = re.search(r'^version = "(.*)"$', cargo, re.MULTILINE).group(1)
pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(DEPLOY.rglob("*"))]
named = 0
for page in pages:
    for tag in re.findall(r"\bhongbaod:(\d[\w.]*)", page.read_text(errors="replace") if page.is_file() else ""):
        named += 1
        must(tag.rstrip(".") == version, f"{page}: hongbaod:{tag}, but Cargo.toml says {version}")
must(named > 0, "no page names an image: the search is broken")

# ------------------------------------------------------------------

for problem in problems:
    print(f"tests/image/lint.py: {problem}", file=sys.stderr)
sys.exit(1 if problems else 0)
