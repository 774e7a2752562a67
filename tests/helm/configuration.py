"""Holds the part `config` of the values, what is rendered of it, and the real binary together."""

import json
import os
import shutil
import subprocess
import tomllib

import example
import yaml
from chart import CHART, ROOT, Failed, require, toml_of, worker

# Defaults that differ from the example's, each with its reason.
OTHER_DEFAULTS = {
    "rabbitmq.urls": (None, "nobody's RabbitMQ is in the pod, and the URL holds a password"),
    "redis.urls": (None, "nobody's Redis is in the pod"),
    "alipay.default_app": (None, "an app that is not called main would be refused"),
    "admin.listen": ("0.0.0.0:9464", "probes come to the pod's address"),
}
# Texts that the schema refuses, and files that have no default in a container.
APP = "alipay.apps.*."
MOUNTED = "/etc/hongbaod-secrets/"


def is_refused(schema):
    return "REFUSED" in str(schema.get("enum", ""))


def schema_leaves(schema, path=()):
    """Every key that the schema describes, by its path, with `*` for the name of an app."""
    properties = {**schema.get("properties", {}), **{"*": inner for inner in schema.get("patternProperties", {}).values()}}
    for name, inner in properties.items():
        is_file = name.endswith("_file")
        if "properties" in inner and not is_file:
            yield from schema_leaves(inner, (*path, name))
        else:
            yield ".".join((*path, name)), inner


def value_leaves(value, path=()):
    for name, inner in value.items():
        if isinstance(inner, dict) and inner and not name.endswith("_file"):
            yield from value_leaves(inner, (*path, name))
        else:
            yield ".".join((*path, name)), inner


def compare_with_example():
    """Every key of the example is in the schema and in values.yaml, and no other."""
    keys = {key.path: key for key in example.read(ROOT / "config.example.toml")}
    require(len(keys) > 100, f"only {len(keys)} keys are found in config.example.toml")
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["properties"]["config"]
    described = dict(schema_leaves(schema))
    require(set(described) == set(keys), f"schema and example differ: {sorted(set(described) ^ set(keys))}")
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    defaults = dict(value_leaves(yaml.safe_load(text)["config"]))
    require(defaults.pop("alipay.apps") == {}, "config.alipay.apps has a default")
    wanted = {path for path in keys if not is_refused(described[path]) and not path.startswith(APP)}
    require(set(defaults) == wanted, f"values.yaml and example differ: {sorted(set(defaults) ^ wanted)}")
    for path in (path for path in keys if path.startswith(APP) and not is_refused(described[path])):
        require(path.removeprefix(APP) in text, f"values.yaml does not name {path}")
    for path, value in defaults.items():
        key = keys[path]
        expected = OTHER_DEFAULTS[path][0] if path in OTHER_DEFAULTS else None if key.optional else key.value
        require(value == expected, f"config.{path}: the default is {value!r}, the example says {expected!r}")
    return keys, described


def table():
    """The table key, values path, as Markdown."""
    keys, described = compare_with_example()
    lines = ["| key of `hongbaod.toml` | path in the values | default |", "|---|---|---|"]
    defaults = dict(value_leaves(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["config"]))
    for path in keys:
        place = f"config.{path}".replace("*", "NAME")
        at, name = path.rsplit(".", 1)
        if is_refused(described[path]):
            lines.append(f"| `[{at}] {name}` | refused: `{place}_file` | |".replace("*", "NAME"))
            continue
        default = defaults.get(path)
        shown = "" if default is None else f"`{json.dumps(default)}`"
        lines.append(f"| `[{at}] {name}` | `{place}` | {shown} |".replace("*", "NAME"))
    return "\n".join(lines) + "\n"


def merged(defaults, given):
    """The values as Helm lays them over each other."""
    result = dict(defaults)
    for name, value in given.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            value = merged(result[name], value)
        result[name] = value
    return result


def expected_document(values, path=()):
    """What the TOML has to say: no nulls, no empty tables, files where they are mounted."""
    document = {}
    for name, value in values.items():
        if isinstance(value, dict) and name.endswith("_file"):
            table = "/".join(path).removeprefix("alipay/")
            value = f"{MOUNTED}{table}/{name.removesuffix('_file')}"
        elif isinstance(value, dict):
            value = expected_document(value, (*path, name))
        if value is not None and value != {}:
            document[name] = value
    return document


def compare_render(name, file, items):
    """The rendered TOML says what the values say, read by another reader of TOML."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["config"]
    values = merged(defaults, yaml.safe_load(file.read_text(encoding="utf-8"))["config"])
    rendered = tomllib.loads(toml_of(items))
    require(rendered == expected_document(values), f"{name}: hongbaod.toml is not what the values say:\n{toml_of(items)}")
    return {".".join(["alipay", "apps", "*", path.split(".")[3]]) if path.startswith("alipay.apps.") else path for path, _ in value_leaves(rendered)}


CONTENTS = {
    "private_key": "app_private_key.pem",
    "app_cert": "appCertPublicKey.crt",
    "alipay_cert": "alipayCertPublicKey_RSA2.crt",
    "alipay_root_cert": "alipayRootCert.crt",
    "alipay_public_key": "alipay_public_key.pem",
}
TEXTS = {
    "rabbitmq/urls": "# two nodes\namqp{s}://u:p%40@127.0.0.1:1/%2f\namqp{s}://u:p%40@127.0.0.1:2/%2f\n",
    "redis/urls": "redis://:p@127.0.0.1:1/0\n",
    "sentinel_password": "p\n",
    "app_auth_token": "202611BB\n",
    "token": "c2d1f0a9b8e7d6c5b4a3f2e1d0c9b8a7\n",
}


def fill(root, path, keys, tls):
    """Puts what belongs there into the file at `path`."""
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    short = "/".join(path.removeprefix(MOUNTED).split("/")[-2:])
    name = short.split("/")[1] if "/" in short else short
    text = TEXTS.get(short, TEXTS.get(name))
    if text is not None:
        target.write_text(text.replace("{s}", "s" if tls else ""), encoding="utf-8")
    else:
        shutil.copy(keys / CONTENTS.get(name, name), target)


def mounted_files(items):
    """Every file that the projected volume of the worker has, by its path in the pod."""
    pod = worker(items)["spec"]["template"]["spec"]
    mount = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            for item in (source.get("secret") or source.get("configMap"))["items"]:
                yield f"{mount[volume['name']]}/{item['path']}"


def check_with_binary(name, items, hongbaod, scratch):
    """`hongbaod check` has no fault to find with the configuration; servers it cannot reach here."""
    root, keys = scratch / f"pod-{name}", scratch / "keys"
    text = toml_of(items)
    tls = "amqps" in text or "tls_" in text.split("[rabbitmq]")[1].split("[rabbitmq.")[0]
    document = tomllib.loads(text)
    for path in mounted_files(items):
        fill(root, path, keys, tls)
    for app in document["alipay"]["apps"].values():
        for key, path in app.items():
            if key.endswith("_file") and not path.startswith(MOUNTED):
                (root / "outside").mkdir(parents=True, exist_ok=True)
                shutil.copy(keys / CONTENTS[key.removesuffix("_file")], root / "outside" / key)
                text = text.replace(json.dumps(path, ensure_ascii=False), json.dumps(str(root / "outside" / key)))
    text = text.replace(MOUNTED, f"{root}{MOUNTED}").replace('"/var/log/hongbaod/', f'"{root}/')
    file = root / "hongbaod.toml"
    root.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    ours = {name: value for name, value in os.environ.items() if name.startswith("HONGBAOD__")}
    done = subprocess.run([str(hongbaod), "--config", str(file), "check", "--json"], capture_output=True, text=True, check=False, timeout=60, env=ours)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, rows, done.stderr


def judge(name, code, rows, error):
    """The configuration is read without a mistake, and only servers are missed."""
    mistakes = [row for row in rows if row["state"] == "mistake"]
    # Builds without the feature refuse this one key.
    mistakes = [row for row in mistakes if "a build that can send spans" not in row["detail"]]
    require(rows, f"{name}: hongbaod check printed nothing: {error}")
    require(not mistakes, f"{name}: hongbaod check finds mistakes: {json.dumps(mistakes, indent=1, ensure_ascii=False)}")
    spans = any("a build that can send spans" in row["detail"] for row in rows)
    require(code == (78 if spans else 69), f"{name}: hongbaod check ended with {code}: {rows}")
    if not spans:
        config = [row for row in rows if row["area"] == "config"]
        require(config and config[0]["state"] == "ok", f"{name}: {rows}")


def every_key_is_rendered(rendered):
    """The value sets together render every key that is not refused, so the binary has read each."""
    _, described = compare_with_example()
    wanted = {path for path, schema in described.items() if not is_refused(schema)}
    if wanted != rendered:
        raise Failed(f"no value set renders {sorted(wanted - rendered)}; unknown: {sorted(rendered - wanted)}")
