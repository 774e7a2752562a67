#!/usr/bin/env python3
"""Works each outcome of hongbaod once, however often it comes; the rules are in docs/clients.md.

Prints what it did as NDJSON, and its counts at the end (SIGTERM or SIGINT).
Exit codes: 0 stopped, 64 usage, 74 the store cannot be written.
"""

import argparse
import json
import random
import re
import signal
import sqlite3
import sys
import time

import pika

# Events that are sent ahead of their acknowledgement: bounds memory and what comes again.
PREFETCH = 50
# All about jobs' money. A queue gets what its bindings name, and nothing else.
BINDINGS = "succeeded,failed,rejected,signed,unresolved,contradicted"
TYPE = re.compile(r"hongbao\.([a-z_]+)\.([a-z_]+)\.v([0-9]+)")


class Poison(Exception):
    """An event that will never be understood, however often it is delivered."""


def read_event(body):
    """The parts that are needed. Fields that are not known here are none of our business."""
    try:
        event = json.loads(body)
        kind, result, version = TYPE.fullmatch(event["type"]).groups()
        # Another number means that old readers could misread it: not for guessing.
        if event["specversion"] != "1.0" or version != "1":
            raise Poison(f"version {event['specversion']}, {event['type']}")
        event_id, data = event["id"], event["data"]
        if not isinstance(event_id, str) or not isinstance(data["out_request_no"], str):
            raise Poison("no id or no number")
        return event_id, kind, result, data
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Poison(f"no event: {error!r}") from error


def meaning(result, data):
    """What the event means for the order. None: nothing to us."""
    match result:
        case "succeeded":
            return "done"
        case "failed":
            return "not done"
        # Nothing was sent, and the number is settled. Any other reason (conflict, invalid) is about
        # a message that was refused: the number itself may well be paid. So are words to come.
        case "rejected":
            return "not done" if data.get("reason") in ("expired", "over_budget") else "look"
        case "signed":
            return "to be paid"
        # Not terminal. Nobody knows yet: the money may have moved. Neither pay by other means
        # nor give it back; the last word follows.
        case "unresolved":
            return "wait"
        # Not terminal, either: the outcome that was told stands, and a person has to look.
        case "contradicted":
            return "look"
    return None


class Store:
    """Which events were worked, and what came of them.

    Both are in one transaction, so neither exists without the other. In production it is the
    database that holds the orders; keep ids for longer than the daemon's `ledger.retention`.
    """

    def __init__(self, path):
        self.database = sqlite3.connect(path)
        with self.database:
            self.database.execute(
                "CREATE TABLE IF NOT EXISTS worked (id TEXT PRIMARY KEY, what TEXT NOT NULL,"
                " kind TEXT NOT NULL, number TEXT NOT NULL, amount TEXT)"
            )

    def work(self, row) -> bool:
        """False if the event was worked before."""
        with self.database:
            inserted = self.database.execute(
                "INSERT INTO worked VALUES (:id, :what, :kind, :number, :amount)"
                " ON CONFLICT (id) DO NOTHING",
                row,
            )
            # Here, before the commit: UPDATE orders SET state = …, in the same transaction.
            return inserted.rowcount == 1


class Subscriber:
    def __init__(self, options):
        self.options = options
        self.store = Store(options.store)
        self.counts = dict.fromkeys(("worked", "copies", "ignored", "poison"), 0)
        self.stopping = False
        self.failures = 0

    def run(self):
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        while not self.stopping:
            try:
                self.live()
            except (pika.exceptions.AMQPError, OSError) as error:
                print(f"connection: {error!r}", file=sys.stderr)
            if not self.stopping:
                time.sleep(random.uniform(0, min(5.0, 0.1 * 2**self.failures)))
                self.failures = min(self.failures + 1, 10)
        print(", ".join(f"{name} {count}" for name, count in self.counts.items()), file=sys.stderr)

    def stop(self, *_signal):
        self.stopping = True

    def live(self):
        """One connection, from its opening to its end."""
        connection = pika.BlockingConnection(pika.URLParameters(self.options.amqp))
        # What was not acknowledged comes again once the connection is closed.
        with connection, connection.channel() as channel:
            self.declare(channel)
            channel.basic_qos(prefetch_count=PREFETCH)
            # With a time limit, so that a signal is noticed when nothing comes.
            for method, _, body in channel.consume(self.options.queue, inactivity_timeout=0.2):
                if self.stopping:
                    break
                if method:
                    self.failures = 0
                    self.handle(channel, method.delivery_tag, body)

    def declare(self, channel):
        """A queue of our own that keeps the events while we are away, and one for poison.

        The exchange is the daemon's to declare. Until it has, the binding fails, and we try again.
        """
        queue, dead = self.options.queue, f"{self.options.queue}.dead"
        quorum = {"x-queue-type": "quorum"}
        channel.queue_declare(dead, durable=True, arguments=quorum)
        dead_letters = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead,
            # Moved with confirms, which asks for this overflow; the queue has no limit, so it never
            # refuses anything.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            # An event that kills us each time does not do it for ever.
            "x-delivery-limit": 20,
        }
        channel.queue_declare(queue, durable=True, arguments=quorum | dead_letters)
        for result in self.options.bind.split(","):
            pattern = f"*.{result}"
            channel.queue_bind(queue, f"{self.options.prefix}.outcomes", pattern)

    def handle(self, channel, tag, body):
        try:
            event_id, kind, result, data = read_event(body)
        except Poison as error:
            self.counts["poison"] += 1
            print(f"set aside: {error}", file=sys.stderr)
            # To the dead letters, where a person looks. Requeued, it would come at once, for ever.
            channel.basic_reject(tag, requeue=False)
            return
        what = meaning(result, data)
        if what is None:
            self.counts["ignored"] += 1
            print(f"ignored: {kind}.{result}", file=sys.stderr)
        else:
            number, amount = data["out_request_no"], data.get("amount")
            row = dict(id=event_id, what=what, kind=kind, number=number, amount=amount)
            # Raises if it cannot be stored: then there is no acknowledgement, and it comes again.
            if self.store.work(row):
                self.counts["worked"] += 1
                print(json.dumps(row), flush=True)
            else:
                self.counts["copies"] += 1
        # Last. Acknowledged first, an event would be lost by a crash in between.
        channel.basic_ack(tag)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = lambda message: (print(message, file=sys.stderr), sys.exit(64))
    parser.add_argument("--amqp", default="amqp://guest:guest@localhost:5672/%2f")
    parser.add_argument("--prefix", default="hongbao", help="the daemon's rabbitmq.prefix")
    parser.add_argument("--queue", default="orders.outcomes", help="a name of your service's own")
    parser.add_argument("--bind", default=BINDINGS, help="results, separated by commas")
    parser.add_argument("--store", required=True, help="a file of SQLite")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        Subscriber(parse_options()).run()
    except sqlite3.Error as error:
        print(f"the store: {error}", file=sys.stderr)
        sys.exit(74)
