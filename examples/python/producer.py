#!/usr/bin/env python3
"""Publishes jobs for hongbaod, each until the broker confirms it; the rules are in docs/clients.md.

A job comes from flags, or many from NDJSON (--file, `-` is the standard input). With --wait, the
outcomes come back to a queue of this program's own and are printed.
Exit codes: 0 all confirmed (and answered), 1 something is not, 64 usage, 69 no broker.
"""

import argparse
import json
import os
import queue
import random
import secrets
import sys
import threading
import time
import uuid
import zlib
from dataclasses import dataclass, field

import pika

# Jobs on their way at a time. It bounds memory, and what has to be published again after a break.
WINDOW = 256
# A confirm that takes longer is not waited for: the connection counts as broken.
CONFIRM_SECONDS_MAX = 30
TERMINAL = {"succeeded", "failed", "rejected", "signed", "found", "not_found"}


@dataclass
class Job:
    """One message. It stays as it is however often it is published: same body, same numbers."""

    number: str
    routing_key: str
    body: bytes
    # For a query it is part of the event's id, so each has its own, and a repetition the same one.
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    timestamp_ms: int = field(default_factory=lambda: int(time.time() * 1000))
    # In a service: of the span in which the job arises.
    traceparent: str = field(
        default_factory=lambda: os.environ.get("TRACEPARENT")
        or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    )
    published: float = 0.0
    returned: bool = False
    answered: bool = False

    def properties(self, reply_to):
        return pika.BasicProperties(
            content_type="application/json",
            delivery_mode=pika.DeliveryMode.Persistent.value,
            message_id=self.message_id,
            correlation_id=self.message_id,
            reply_to=reply_to,
            timestamp=self.timestamp_ms // 1000,
            headers={
                "traceparent": self.traceparent,
                # AMQP's timestamp knows whole seconds only.
                "x-hongbao-published-ms": self.timestamp_ms,
            },
        )


def yuan(fen: int) -> str:
    """Money is an integer of fen until it becomes a text. It is never a float."""
    return f"{fen // 100}.{fen % 100:02}"


def disburse(options) -> bytes:
    job = {
        "kind": "disburse",
        # Equal numbers: then not even a lost ledger lets a job be paid twice.
        "out_request_no": options.out_request_no,
        "out_order_no": options.out_request_no,
        "deduct_out_order_no": options.packet,
        "order_title": "Lucky money",
        "amount": yuan(options.fen),
        "payee_user_id": options.payee,
    }
    return json.dumps(job).encode()


def routing_key(kind: str, number: str, options) -> str:
    """`<kind>`, or the lane for urgent jobs, or one of the shards of the normal lane."""
    if options.urgent and kind in ("disburse", "pay"):
        return f"{kind}.urgent"
    # A number goes to the same shard each time. Any other shard would be right, too.
    shard = zlib.crc32(number.encode()) % options.shards
    return f"{kind}.{shard}" if shard and kind in ("disburse", "refund", "pay") else kind


def read_job(body: bytes, options) -> Job:
    """Only what is needed to send it: the daemon checks the rest, and says what is wrong."""
    job = json.loads(body)
    if not isinstance(job, dict):
        raise ValueError("no JSON object")
    number = str(job.get("out_request_no", ""))
    return Job(number, routing_key(str(job.get("kind")), number, options), body)


def read_lines(options):
    if options.file is None:
        yield disburse(options)
    else:
        with open(0 if options.file == "-" else options.file, "rb") as lines:
            yield from lines


def read_jobs(options, jobs: queue.Queue):
    """Runs on a thread of its own. Waits while the queue is full; None is the end."""
    try:
        for line in read_lines(options):
            try:
                jobs.put(read_job(line.strip(), options))
            except ValueError as error:
                jobs.put(f"{error}: not sent")
    except OSError as error:
        jobs.put(f"{error}: the input was not read to its end")
    jobs.put(None)


class Producer:
    def __init__(self, options):
        self.options = options
        self.exchange = f"{options.prefix}.jobs"
        self.input = queue.Queue(maxsize=WINDOW)
        self.input_ended = False
        self.again = []  # to be published again, the oldest first
        self.unconfirmed = {}  # by delivery tag, on this connection
        self.unanswered = {}  # by correlation id, with --wait
        self.counts = dict.fromkeys(("confirmed", "returned", "unreadable", "answered"), 0)
        self.repetitions = 0
        self.unheard = 0
        self.failures = 0
        self.progress = time.monotonic()

    def run(self) -> int:
        threading.Thread(target=read_jobs, args=(self.options, self.input), daemon=True).start()
        while not self.finished():
            self.live()
            if self.finished() or self.unheard or self.out_of_patience():
                break
            # Full jitter: a thousand producers that lost one broker do not come back at once.
            time.sleep(random.uniform(0, min(5.0, 0.1 * 2**self.failures)))
            self.failures = min(self.failures + 1, 10)
        return self.report()

    def finished(self):
        return self.input_ended and not (self.again or self.unconfirmed or self.unanswered)

    def out_of_patience(self):
        limit = self.options.wait if self.waits_for_answers() else self.options.patience
        return time.monotonic() - self.progress > limit

    def waits_for_answers(self):
        return self.input_ended and not self.again and not self.unconfirmed and self.unanswered

    def live(self):
        """One connection, from its opening to its end."""
        self.why = None
        self.connection = pika.SelectConnection(
            pika.URLParameters(self.options.amqp),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
            on_open_error_callback=self.closed,
            on_close_callback=self.closed,
        )
        self.connection.ioloop.start()
        # Nobody knows what became of the unconfirmed ones, so they are published again: the same
        # number with the same content is the same job. The unanswered ones, too: their answers
        # would go to a queue that ended with the connection, and a job that was settled is told
        # again to whoever asks.
        open_jobs = [*self.unconfirmed.values(), *self.unanswered.values(), *self.again]
        self.again = list({job.message_id: job for job in open_jobs}.values())
        self.unconfirmed, self.unanswered = {}, {}

    def closed(self, connection, reason):
        if not self.finished():
            print(f"connection: {self.why or reason!r}", file=sys.stderr)
        connection.ioloop.stop()

    def opened(self, channel):
        self.channel = channel
        self.tag = 0
        # A closed channel, for example of a wrong exchange, ends the connection and with it live().
        channel.add_on_close_callback(lambda _, reason: self.hang_up(reason))
        channel.add_on_return_callback(self.on_return)
        channel.confirm_delivery(self.on_confirm)
        if self.options.wait:
            # Exclusive: it ends with this connection. The broker makes up the name.
            channel.queue_declare("", exclusive=True, callback=self.listen)
        else:
            self.reply_to = None
            self.tick()

    def listen(self, frame):
        self.reply_to = frame.method.queue
        self.channel.basic_consume(self.reply_to, self.on_answer, auto_ack=True)
        self.tick()

    def hang_up(self, why):
        if not (self.connection.is_closing or self.connection.is_closed):
            self.why = why
            self.connection.close()

    def tick(self):
        """Fills the window, and looks whether it is over."""
        if not self.channel.is_open:
            return
        on_their_way = self.unanswered if self.reply_to else self.unconfirmed
        while len(on_their_way) < WINDOW and (job := self.next_job()):
            self.publish(job)
        oldest = next(iter(self.unconfirmed.values()), None)
        if oldest and time.monotonic() - oldest.published > CONFIRM_SECONDS_MAX:
            self.hang_up("no confirm")
        elif self.finished():
            self.hang_up("all is done")
        elif self.waits_for_answers() and self.out_of_patience():
            self.unheard = len(self.unanswered)
            self.hang_up("no answer")
        else:
            self.connection.ioloop.call_later(0.01, self.tick)

    def next_job(self):
        if self.again:
            self.repetitions += 1
            return self.again.pop(0)
        while not self.input_ended:
            try:
                job = self.input.get_nowait()
            except queue.Empty:
                # Waiting for input is no lack of progress.
                if not (self.unconfirmed or self.unanswered):
                    self.progress = time.monotonic()
                return None
            if isinstance(job, Job):
                return job
            self.input_ended = job is None
            if job is not None:
                self.counts["unreadable"] += 1
                print(job, file=sys.stderr)
        return None

    def publish(self, job):
        job.published = time.monotonic()
        self.tag += 1
        self.unconfirmed[self.tag] = job
        # Before it is published: an answer may be faster than the confirm.
        if self.reply_to and not job.answered:
            self.unanswered[job.message_id] = job
        self.channel.basic_publish(
            self.exchange, job.routing_key, job.body, job.properties(self.reply_to), mandatory=True
        )

    def on_return(self, _channel, method, properties, _body):
        """No queue took it. This comes *before* the ack, so an ack alone proves nothing."""
        for job in self.unconfirmed.values():
            if job.message_id == properties.message_id:
                job.returned = True
                reason = f"{method.reply_code} {method.reply_text}"
                print(f"{job.number}: returned, {job.routing_key}: {reason}", file=sys.stderr)

    def on_confirm(self, frame):
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        if isinstance(frame.method, pika.spec.Basic.Nack):
            # The broker could not keep it. It stays unconfirmed, and goes again after a wait.
            self.hang_up("nack")
            return
        self.failures, self.progress = 0, time.monotonic()
        for tag in [t for t in self.unconfirmed if t == tag or (multiple and t < tag)]:
            job = self.unconfirmed.pop(tag)
            if job.returned:
                self.counts["returned"] += 1
                self.unanswered.pop(job.message_id, None)
            else:
                self.counts["confirmed"] += 1

    def on_answer(self, _channel, _method, properties, body):
        data = json.loads(body)["data"]
        # Anything else, `unresolved` above all, is not the last word. But a query has no other.
        if data["result"] not in TERMINAL and data["kind"] != "query":
            return
        if job := self.unanswered.pop(properties.correlation_id, None):
            job.answered = True
            self.counts["answered"] += 1
            self.progress = time.monotonic()
            print(json.dumps({"number": job.number, "result": data["result"]}), flush=True)

    def report(self):
        left = len(self.again)  # each connection leaves there what it had not done
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        print(f"{counts}, published again {self.repetitions}, left {left}", file=sys.stderr)
        if self.unheard:
            # No answer says nothing about the money. Ask again with the same job, or read the
            # outcome where all outcomes are: in a subscriber's queue.
            return 1
        if not self.finished():
            if not self.input_ended:
                print("the input was not read to its end", file=sys.stderr)
            return 69
        return 1 if self.counts["returned"] or self.counts["unreadable"] else 0


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = lambda message: (print(message, file=sys.stderr), sys.exit(64))
    parser.add_argument("--amqp", default="amqp://guest:guest@localhost:5672/%2f")
    parser.add_argument("--prefix", default="hongbao", help="the daemon's rabbitmq.prefix")
    parser.add_argument("--shards", type=int, default=1, help="the daemon's rabbitmq.shards")
    parser.add_argument("--urgent", action="store_true", help="overtake the others of the kind")
    parser.add_argument("--wait", type=int, default=0, metavar="S", help="wait for the outcomes")
    parser.add_argument("--patience", type=int, default=60, metavar="S", help="without a confirm")
    parser.add_argument("--file", help="NDJSON, one job a line; - is the standard input")
    parser.add_argument("--out-request-no")
    parser.add_argument("--packet", help="the out_order_no of the packet that pays")
    parser.add_argument("--payee", help="the payee's user id")
    parser.add_argument("--fen", type=int)
    options = parser.parse_args()
    one_job = (options.out_request_no, options.packet, options.payee, options.fen)
    if options.file is None and None in one_job:
        parser.error("give --file, or all of --out-request-no, --packet, --payee and --fen")
    return options


if __name__ == "__main__":
    sys.exit(Producer(parse_options()).run())
