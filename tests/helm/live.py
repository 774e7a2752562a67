"""Lays out what the chart renders as a pod has it. Usage: live.py HELM SCRATCH GATEWAY AMQP_URL REDIS_URL

Prints the admin address, the ScaledObject's regular expression, and the seconds that a pod has to end.
"""

import os
import socket
import sys
from pathlib import Path

import yaml
from chart import Helm, objects, of_kind, toml_of, worker
from configuration import MOUNTED, mounted_files

SOURCES = {"private_key": "app_private_key.pem", "alipay_public_key": "alipay_public_key.pem"}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def reference(key):
    return {"secret": "live", "key": key}


def main():
    binary, scratch, gateway, amqp, redis = sys.argv[1:]
    scratch = Path(scratch)
    admin = f"0.0.0.0:{free_port()}"
    app = {"app_id": "2021000000000000", "private_key_file": reference("a"), "alipay_public_key_file": reference("b")}
    config = {
        "rabbitmq": {"urls_file": reference("c")},
        "redis": {"urls_file": reference("d")},
        "alipay": {"gateway": gateway, "connect_timeout": "500ms", "timeout": "1s", "apps": {"main": app}},
        "ledger": {"lease": "1500ms"},
        "retry": {"delay_min": "250ms", "absence_window": "1500ms"},
        "admin": {"listen": admin, "token_file": reference("e")},
    }
    scaling = {"keda": {"enabled": True, "rabbitmq": reference("f")}}
    file = scratch / "values.yaml"
    file.write_text(yaml.safe_dump({"config": config, "autoscaling": scaling}), encoding="utf-8")
    items = objects(Helm(binary, scratch / "helm").render([file]))
    texts = {"rabbitmq/urls": amqp, "redis/urls": redis, "admin/token": "c2d1f0a9b8e7d6c5b4a3f2e1d0c9b8a7"}
    secrets = scratch / "secrets"
    first = secrets / "..first"
    for path in mounted_files(items):
        item = path.removeprefix(MOUNTED)
        target = first / item
        target.parent.mkdir(parents=True, exist_ok=True)
        source = SOURCES.get(target.name)
        target.write_text(texts[item] if source is None else (scratch / "keys" / source).read_text(encoding="utf-8"), encoding="utf-8")
        target.chmod(0o440)
        if os.geteuid() == 0:
            os.chown(target, 0, 10001)
    (secrets / "..data").symlink_to("..first")
    for directory in first.iterdir():
        (secrets / directory.name).symlink_to(f"..data/{directory.name}")
    text = toml_of(items).replace(MOUNTED, f"{secrets}/")
    (scratch / "hongbaod.toml").write_text(text, encoding="utf-8")
    expression = of_kind(items, "ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["queueName"]
    grace = worker(items)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    print(admin.replace("0.0.0.0", "127.0.0.1"), expression, grace)


if __name__ == "__main__":
    main()
