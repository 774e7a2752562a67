"""The part `config` of values.schema.json: what each key of config.example.toml takes."""

DURATION = {"type": ["string", "null"], "pattern": "^[0-9]+(ms|s|m|h|d)$"}
LABEL = {"type": ["string", "null"], "pattern": "^[A-Za-z0-9_.-]{1,64}$"}
YUAN = {"type": ["string", "null"], "pattern": "^[0-9]+\\.[0-9]{2}$"}
ADDRESS = {"type": ["string", "null"], "pattern": "^(\\[[0-9a-fA-F:.]+\\]|[0-9.]+):[0-9]{1,5}$"}
WEB_URL = {"type": ["string", "null"], "pattern": "^https?://[^/?#@]+(/[^?#@]*)?$"}
CODES = {"type": ["array", "null"], "items": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$"}}
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}
FILE_KEY = {"type": "string", "pattern": "^[-._a-zA-Z0-9]+$", "maxLength": 253}


def number(low, high):
    return {"type": ["integer", "null"], "minimum": low, "maximum": high}


def word(*words):
    return {"type": ["string", "null"], "enum": [*words, None]}


def urls(*schemes):
    pattern = f"^({'|'.join(schemes)})://\\S+$|^memory:$"
    return {"type": ["array", "null"], "minItems": 1, "items": {"type": "string", "pattern": pattern}}


def reference(*sources):
    """A file: a reference to what the chart mounts, or an absolute path."""
    properties = {source: {**NAME, "description": f"Name of the {source[0].upper()}{source[1:]}."} for source in sources}
    properties["key"] = {**FILE_KEY, "description": "The key of its data that is the file."}
    required = ["secret", "key"] if sources == ("secret",) else ["key"]
    return {
        "type": ["object", "string", "null"],
        "pattern": "^/",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def refused(name):
    """The text of a secret: the only value that passes says what to write instead, and is refused by the templates."""
    reason = f"REFUSED: not as text in values; write {name}_file: {{ secret: NAME, key: KEY }} and create that Secret"
    return {"enum": [reason]}


PUBLIC = {"tls_ca", "tls_cert", "alipay_public_key", "app_cert", "alipay_cert", "alipay_root_cert"}
SECRET = {"urls", "tls_key", "sentinel_password", "private_key", "aes_key", "app_auth_token", "token"}

TYPES = {
    "rabbitmq.urls": urls("amqp", "amqps"),
    "rabbitmq.prefix": {"type": ["string", "null"], "pattern": "^[a-z0-9._-]{1,32}$"},
    "rabbitmq.prefetch.disburse": number(1, 2000),
    "rabbitmq.prefetch.refund": number(1, 2000),
    "rabbitmq.prefetch.query": number(1, 2000),
    "rabbitmq.prefetch.pay": number(1, 2000),
    "rabbitmq.shards.disburse": number(1, 64),
    "rabbitmq.shards.refund": number(1, 64),
    "rabbitmq.shards.pay": number(1, 64),
    "rabbitmq.heartbeat": DURATION,
    "rabbitmq.confirm_timeout": DURATION,
    "rabbitmq.delivery_limit": number(1, 1_000_000),
    "rabbitmq.unrouted_max": number(1, 10_000_000),
    "redis.mode": word("standalone", "cluster", "sentinel"),
    "redis.urls": urls("redis", "rediss"),
    "redis.sentinel_master": {"type": ["string", "null"], "pattern": "^[A-Za-z0-9._-]+$"},
    "redis.connect_timeout": DURATION,
    "redis.response_timeout": DURATION,
    "ledger.lease": DURATION,
    "ledger.rescue_after": DURATION,
    "ledger.doubt": DURATION,
    "ledger.replicas_min": number(0, 10),
    "ledger.retention": DURATION,
    "alipay.gateway": WEB_URL,
    "alipay.connect_timeout": DURATION,
    "alipay.timeout": DURATION,
    "alipay.default_app": {"type": ["string", "null"], "pattern": "^[a-z0-9_-]{1,32}$"},
    "alipay.order_expired_time_spelling": word("merchant_ext", "own_key"),
    "alipay.apps.*.app_id": {"type": "string", "pattern": "^[0-9]{16,32}$"},
    "alipay.apps.*.sign_type": word("RSA2", "RSA"),
    "alipay.apps.*.charset": word("utf-8", "gbk"),
    "alipay.apps.*.notify_url": WEB_URL,
    "alipay.codes.final": CODES,
    "alipay.codes.unknown": CODES,
    "alipay.codes.processing": CODES,
    "alipay.codes.already_used": CODES,
    "alipay.codes.confirm": CODES,
    "alipay.codes.limited": CODES,
    "alipay.codes.blocked": CODES,
    "retry.delay_min": DURATION,
    "retry.delay_max": DURATION,
    "retry.multiplier": {"type": ["number", "null"], "minimum": 1.001, "maximum": 10},
    "retry.unresolved_after": DURATION,
    "retry.absence_confirmations": number(1, 100),
    "retry.absence_window": DURATION,
    "retry.query_attempts": number(1, 1000),
    "pacing.requests_per_second": number(1, 100_000),
    "pacing.concurrency_min": number(1, 10_000),
    "pacing.concurrency_max": number(1, 10_000),
    "fairness.label": LABEL,
    "budget.over": word("wait", "reject", "tell"),
    "budget.on_error": word("wait", "pay"),
    "budget.warn_percent": number(1, 100),
    "budget.label": LABEL,
    **{f"budget.per_{scope}.{window}": YUAN for scope in ("app", "payee", "label") for window in ("minute", "hour", "day")},
    "admin.listen": ADDRESS,
    "notify.listen": ADDRESS,
    "notify.rate_per_source": number(1, 1_000_000),
    "notify.trusted_proxies": {"type": ["array", "null"], "minItems": 1, "items": {"type": "string", "pattern": "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"}},
    "audit.file": {"type": ["string", "null"], "pattern": "^/"},
    "audit.rotate_bytes": number(65_536, 4_294_967_295),
    "audit.keep": number(0, 100_000),
    "audit.sync": word("batch", "never"),
    "reconcile.rate_per_minute": number(0, 600),
    "log.format": word("json", "text"),
    "log.level": word("error", "warn", "info", "debug", "trace"),
    "trace.otlp_endpoint": WEB_URL,
    "trace.sample_permille": number(0, 1000),
    "shutdown.grace": DURATION,
}


def type_of(path):
    """What the key at this path takes; an error for a key that nobody has thought of here."""
    if path in TYPES:
        return TYPES[path]
    name = path.rsplit(".", 1)[1]
    plain = name.removesuffix("_file")
    if plain not in PUBLIC | SECRET:
        raise SystemExit(f"tests/helm/config_schema.py: say what {path} takes")
    if name == plain:
        return refused(name)
    return reference("secret") if plain in SECRET else reference("secret", "configMap")


def table(description):
    return {"type": "object", "description": description, "additionalProperties": False, "properties": {}}


def build(keys):
    """Builds the schema of `config` from the keys of the example."""
    unused = set(TYPES) - {key.path for key in keys}
    if unused:
        raise SystemExit(f"tests/helm/config_schema.py: no such keys in config.example.toml: {sorted(unused)}")
    root = table("The configuration of the daemon, key by key as in config.example.toml. Null or absent: the key is left out.")
    for key in keys:
        place, *names = root, *key.path.split(".")
        at = []
        for name in names[:-1]:
            at.append(name)
            place = child(place, name, ".".join(at))
        description = key.comment
        if "enum" in type_of(key.path) and names[-1] in PUBLIC | SECRET:
            description = f"Refused here: write {names[-1]}_file."
        if names[-1].endswith("_file"):
            description += " Here: a reference { secret, key } that the chart mounts as a file, or an absolute path."
        place["properties"][names[-1]] = {"description": description, **type_of(key.path)}
        if names[-1] == "app_id":
            place["required"] = ["app_id"]
    return root


def child(place, name, path):
    """The table below `place`, made at its first key."""
    if name == "*":
        app = place.setdefault("patternProperties", {})
        one = {**table("One Alipay application; null: none."), "type": ["object", "null"]}
        return app.setdefault("^[a-z0-9_-]{1,32}$", one)
    if name == "apps":
        return place["properties"].setdefault(name, table("The Alipay applications, by name: 1 to 32 of a-z, 0-9, _ and -."))
    return place["properties"].setdefault(name, table(f"[{path}] of config.example.toml."))
