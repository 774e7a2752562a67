#!/usr/bin/env node
// Publishes jobs for hongbaod, each until the broker confirms it; the rules are in docs/clients.md.
//
// A job comes from flags, or many from NDJSON (--file, `-` is the standard input). With --wait, the
// outcomes come back to a queue of this program's own and are printed.
// Exit codes: 0 all confirmed (and answered), 1 something is not, 64 usage, 69 no broker.

import amqp from 'amqplib';
import { randomBytes, randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

// Jobs on their way at a time. It bounds memory, and what has to be published again after a break.
const WINDOW = 256;
// A confirm that takes longer is not waited for: the connection counts as broken.
const CONFIRM_MS_MAX = 30_000;
const TERMINAL = new Set(['succeeded', 'failed', 'rejected', 'signed', 'found', 'not_found']);

// Money is an integer of fen until it becomes a text. It is never a float.
function yuan(fen) {
  const digits = String(fen).padStart(3, '0');
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

function disburse(options) {
  return JSON.stringify({
    kind: 'disburse',
    // Equal numbers: then not even a lost ledger lets a job be paid twice.
    out_request_no: options['out-request-no'],
    out_order_no: options['out-request-no'],
    deduct_out_order_no: options.packet,
    order_title: 'Lucky money',
    amount: yuan(options.fen),
    payee_user_id: options.payee,
  });
}

// `<kind>`, or the lane for urgent jobs, or one of the shards of the normal lane.
function routingKey(kind, number, options) {
  if (options.urgent && ['disburse', 'pay'].includes(kind)) return `${kind}.urgent`;
  // A number goes to the same shard each time. Any other shard would be right, too.
  const shard = crc32(number) % options.shards;
  return shard > 0 && ['disburse', 'refund', 'pay'].includes(kind) ? `${kind}.${shard}` : kind;
}

// zlib's CRC-32. Node 22.2 has it as `zlib.crc32`.
function crc32(text) {
  let crc = ~0;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// One message. It stays as it is however often it is published: same body, same numbers. Only what
// is needed to send it is read: the daemon checks the rest, and says what is wrong.
function readJob(text, options) {
  const job = JSON.parse(text);
  if (job === null || typeof job !== 'object' || Array.isArray(job)) throw new Error('no JSON object');
  const number = String(job.out_request_no ?? '');
  return {
    number,
    routingKey: routingKey(String(job.kind), number, options),
    body: Buffer.from(text),
    // For a query it is part of the event's id, so each has its own, and a repetition the same one.
    messageId: randomUUID(),
    timestampMs: Date.now(),
    // In a service: of the span in which the job arises.
    traceparent:
      process.env.TRACEPARENT ??
      `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`,
  };
}

class Producer extends EventEmitter {
  input = [];
  inputEnded = false;
  again = []; // to be published again, the oldest first
  unconfirmed = new Set(); // on this connection, the oldest first
  unanswered = new Map(); // by correlation id, with --wait
  counts = { confirmed: 0, returned: 0, unreadable: 0, answered: 0, 'published again': 0 };
  failures = 0;
  progress = Date.now();

  constructor(options) {
    super();
    this.options = options;
  }

  async run() {
    this.read().catch((error) => {
      console.error(`${error.message}: the input was not read to its end`);
      this.counts.unreadable++;
      this.endInput();
    });
    // Wakes the loop below, so that it looks at the clock.
    const ticker = setInterval(() => this.emit('change'), 100);
    while (!this.isFinished()) {
      try {
        await this.live();
        break;
      } catch (error) {
        console.error(`connection: ${error.message}`);
        this.publishAgain();
        if (this.isOutOfPatience()) break;
        // Full jitter: a thousand producers that lost one broker do not come back at once.
        await sleep(Math.random() * Math.min(5000, 100 * 2 ** this.failures));
        this.failures = Math.min(this.failures + 1, 10);
      }
    }
    clearInterval(ticker);
    return this.report();
  }

  // Reads ahead, but not without bounds.
  async read() {
    const { file } = this.options;
    const source = file === '-' ? process.stdin : file && createReadStream(file);
    for await (const line of source ? createInterface({ input: source }) : [disburse(this.options)]) {
      try {
        this.input.push(readJob(line, this.options));
      } catch (error) {
        this.counts.unreadable++;
        console.error(`${error.message}: not sent`);
      }
      this.emit('change');
      while (this.input.length >= WINDOW) await once(this, 'change');
    }
    this.endInput();
  }

  endInput() {
    this.inputEnded = true;
    this.emit('change');
  }

  isFinished() {
    const open = this.input.length + this.again.length + this.unconfirmed.size;
    return this.inputEnded && open + this.unanswered.size === 0;
  }

  waitsForAnswers() {
    const open = this.input.length + this.again.length + this.unconfirmed.size;
    return this.inputEnded && open === 0 && this.unanswered.size > 0;
  }

  isOutOfPatience() {
    const { wait, patience } = this.options;
    return Date.now() - this.progress > 1000 * (this.waitsForAnswers() ? wait : patience);
  }

  // One connection, from its opening to its end. Returns when nothing is left to wait for.
  async live() {
    const connection = await amqp.connect(this.options.amqp, { timeout: 5000 });
    let broken = null;
    const breaks = (error) => {
      broken ??= error ?? new Error('closed');
      this.emit('change');
    };
    connection.on('error', breaks);
    connection.on('close', breaks);
    try {
      const channel = await connection.createConfirmChannel();
      channel.on('error', breaks);
      channel.on('close', breaks);
      channel.on('return', (message) => this.onReturn(message));
      const replyTo = this.options.wait > 0 ? await this.listen(channel, breaks) : undefined;
      while (!broken && !this.isFinished()) {
        const onTheirWay = replyTo ? this.unanswered : this.unconfirmed;
        const job = onTheirWay.size < WINDOW ? this.nextJob() : undefined;
        if (job) {
          this.publish(channel, job, replyTo, breaks);
          continue;
        }
        await once(this, 'change');
        const [oldest] = this.unconfirmed;
        if (oldest && Date.now() - oldest.published > CONFIRM_MS_MAX) throw new Error('no confirm');
        if (this.waitsForAnswers() && this.isOutOfPatience()) return;
      }
      if (broken) throw broken;
    } finally {
      connection.removeAllListeners();
      connection.on('error', () => {});
      await connection.close().catch(() => {});
    }
  }

  // Nobody knows what became of the unconfirmed ones, so they are published again: the same number
  // with the same content is the same job. The unanswered ones, too: their answers would go to a
  // queue that ended with the connection, and a job that was settled is told again to whoever asks.
  publishAgain() {
    this.again = [...new Set([...this.unconfirmed, ...this.unanswered.values(), ...this.again])];
    this.unconfirmed.clear();
    this.unanswered.clear();
  }

  // Exclusive: it ends with this connection. The broker makes up the name.
  async listen(channel, breaks) {
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const onMessage = (message) => (message ? this.onAnswer(message) : breaks(new Error('cancelled')));
    await channel.consume(queue, onMessage, { noAck: true });
    return queue;
  }

  nextJob() {
    const repeated = this.again.shift();
    if (repeated) this.counts['published again']++;
    const job = repeated ?? this.input.shift();
    // Waiting for input is no lack of progress.
    if (!job && this.unconfirmed.size + this.unanswered.size === 0) this.progress = Date.now();
    return job;
  }

  publish(channel, job, replyTo, breaks) {
    job.published = Date.now();
    this.unconfirmed.add(job);
    // Before it is published: an answer may be faster than the confirm.
    if (replyTo && !job.answered) this.unanswered.set(job.messageId, job);
    const properties = {
      mandatory: true,
      persistent: true,
      contentType: 'application/json',
      messageId: job.messageId,
      correlationId: job.messageId,
      replyTo,
      timestamp: Math.floor(job.timestampMs / 1000),
      // AMQP's timestamp knows whole seconds only.
      headers: { traceparent: job.traceparent, 'x-hongbao-published-ms': job.timestampMs },
    };
    const exchange = `${this.options.prefix}.jobs`;
    channel.publish(exchange, job.routingKey, job.body, properties, (error) => {
      // A nack, or the end of the channel. It stays unconfirmed, and goes again after a wait.
      if (error) breaks(error);
      else this.onConfirm(job);
    });
  }

  // No queue took it. This comes *before* the ack, so an ack alone proves nothing.
  onReturn({ fields, properties }) {
    for (const job of this.unconfirmed) {
      if (job.messageId !== properties.messageId) continue;
      job.returned = true;
      const reason = `${fields.replyCode} ${fields.replyText}`;
      console.error(`${job.number}: returned, ${job.routingKey}: ${reason}`);
    }
  }

  onConfirm(job) {
    this.unconfirmed.delete(job);
    if (job.returned) this.unanswered.delete(job.messageId);
    this.counts[job.returned ? 'returned' : 'confirmed']++;
    this.failures = 0;
    this.progress = Date.now();
    this.emit('change');
  }

  onAnswer({ properties, content }) {
    const { data } = JSON.parse(content);
    // Anything else, `unresolved` above all, is not the last word. But a query has no other.
    if (!TERMINAL.has(data.result) && data.kind !== 'query') return;
    const job = this.unanswered.get(properties.correlationId);
    if (!job) return;
    this.unanswered.delete(job.messageId);
    job.answered = true;
    this.counts.answered++;
    this.progress = Date.now();
    console.log(JSON.stringify({ number: job.number, result: data.result }));
    this.emit('change');
  }

  report() {
    const left = new Set([...this.unconfirmed, ...this.unanswered.values(), ...this.again]).size;
    const counts = Object.entries(this.counts).map(([name, count]) => `${name} ${count}`);
    console.error(`${counts.join(', ')}, left ${left + this.input.length}`);
    // No answer says nothing about the money. Ask again with the same job, or read the outcome
    // where all outcomes are: in a subscriber's queue.
    if (this.waitsForAnswers()) return 1;
    if (!this.isFinished()) {
      if (!this.inputEnded) console.error('the input was not read to its end');
      return 69;
    }
    return this.counts.returned + this.counts.unreadable > 0 ? 1 : 0;
  }
}

function parseOptions() {
  const text = (value) => ({ type: 'string', default: value });
  const { values } = parseArgs({
    options: {
      amqp: text('amqp://guest:guest@localhost:5672/%2f'),
      prefix: text('hongbao'), // the daemon's rabbitmq.prefix
      shards: text('1'), // the daemon's rabbitmq.shards
      urgent: { type: 'boolean', default: false }, // overtake the others of the kind
      wait: text('0'), // seconds without an outcome that may pass
      patience: text('60'), // seconds without a confirm that may pass
      file: { type: 'string' },
      'out-request-no': { type: 'string' },
      packet: { type: 'string' }, // the out_order_no of the packet that pays
      payee: { type: 'string' },
      fen: { type: 'string' },
    },
  });
  const isOneJob = ['out-request-no', 'packet', 'payee', 'fen'].every((name) => name in values);
  if (!values.file && !isOneJob) {
    throw new Error('give --file, or all of --out-request-no, --packet, --payee and --fen');
  }
  for (const name of ['shards', 'wait', 'patience', ...(values.file ? [] : ['fen'])]) {
    if (!/^[0-9]{1,15}$/.test(values[name])) throw new Error(`--${name} is no number`);
    values[name] = Number(values[name]);
  }
  if (values.shards === 0) throw new Error('--shards is at least 1');
  return values;
}

let options;
try {
  options = parseOptions();
} catch (error) {
  console.error(error.message);
  process.exit(64);
}
process.exit(await new Producer(options).run());
