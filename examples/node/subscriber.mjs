#!/usr/bin/env node
// Works each outcome of hongbaod once, however often it comes; the rules are in docs/clients.md.
//
// Prints what it did as NDJSON, and its counts at the end (SIGTERM or SIGINT).
// Exit codes: 0 stopped, 64 usage, 74 the store cannot be written.

import amqp from 'amqplib';
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

// Events that are sent ahead of their acknowledgement: bounds memory and what comes again.
const PREFETCH = 50;
// All about jobs' money. A queue gets what its bindings name, and nothing else.
const BINDINGS = 'succeeded,failed,rejected,signed,unresolved,contradicted';
const TYPE = /^hongbao\.([a-z_]+)\.([a-z_]+)\.v([0-9]+)$/;

// An event that will never be understood, however often it is delivered.
class Poison extends Error {}

// The parts that are needed. Fields that are not known here are none of our business.
function readEvent(body) {
  let event;
  try {
    event = JSON.parse(body);
  } catch (error) {
    throw new Poison(`no JSON: ${error.message}`);
  }
  const [, kind, result, version] = TYPE.exec(event?.type ?? '') ?? [];
  // Another number means that old readers could misread it: not for guessing.
  if (event?.specversion !== '1.0' || version !== '1') throw new Poison(`type ${event?.type}`);
  const { id, data } = event;
  if (typeof id !== 'string' || typeof data?.out_request_no !== 'string') {
    throw new Poison('no id or no number');
  }
  return { id, kind, result, data };
}

// What the event means for the order. Undefined: nothing to us.
function meaning({ result, data }) {
  switch (result) {
    case 'succeeded':
      return 'done';
    case 'failed':
      return 'not done';
    // Nothing was sent, and the number is settled. Any other reason (conflict, invalid) is about a
    // message that was refused: the number itself may well be paid. So are words to come.
    case 'rejected':
      return ['expired', 'over_budget'].includes(data.reason) ? 'not done' : 'look';
    case 'signed':
      return 'to be paid';
    // Not terminal. Nobody knows yet: the money may have moved. Neither pay by other means nor give
    // it back; the last word follows.
    case 'unresolved':
      return 'wait';
    // Not terminal, either: the outcome that was told stands, and a person has to look.
    case 'contradicted':
      return 'look';
    default:
      return undefined;
  }
}

// Which events were worked, and what came of them.
//
// One line of this file is both, so neither exists without the other. In production it is the
// database that holds the orders, and one transaction: INSERT the id (a primary key; if it is there
// already, the event is a copy), UPDATE the order, COMMIT. Keep ids for longer than the daemon's
// `ledger.retention`.
class Store {
  #ids = new Set();

  constructor(path) {
    this.file = openSync(path, 'a+');
    const text = readFileSync(this.file, 'utf8');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    // A crash may leave half a line: that event was not worked.
    if (whole.length < text.length) ftruncateSync(this.file, Buffer.byteLength(whole));
    for (const line of whole.split('\n')) if (line) this.#ids.add(JSON.parse(line).id);
  }

  // False if the event was worked before.
  work(row) {
    if (this.#ids.has(row.id)) return false;
    const line = Buffer.from(`${JSON.stringify(row)}\n`);
    if (writeSync(this.file, line) !== line.length) throw new Error('half a line was written');
    fsyncSync(this.file);
    this.#ids.add(row.id);
    return true;
  }

  close() {
    closeSync(this.file);
  }
}

class Subscriber {
  counts = { worked: 0, copies: 0, ignored: 0, poison: 0 };
  failures = 0;
  stopping = new AbortController();

  constructor(options, store) {
    this.options = options;
    this.store = store;
  }

  async run() {
    const { signal } = this.stopping;
    for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => this.stopping.abort());
    while (!signal.aborted) {
      try {
        await this.live();
      } catch (error) {
        if (error.isOfStore) throw error;
        console.error(`connection: ${error.message}`);
      }
      const wait = Math.random() * Math.min(5000, 100 * 2 ** this.failures);
      this.failures = Math.min(this.failures + 1, 10);
      await sleep(wait, undefined, { signal }).catch(() => {});
    }
    const counts = Object.entries(this.counts).map(([name, count]) => `${name} ${count}`);
    console.error(counts.join(', '));
  }

  // One connection, from its opening to its end.
  async live() {
    const connection = await amqp.connect(this.options.amqp, { timeout: 5000 });
    try {
      await new Promise((resolve, reject) => {
        connection.on('error', reject);
        connection.on('close', () => reject(new Error('closed')));
        this.stopping.signal.addEventListener('abort', resolve, { once: true });
        if (this.stopping.signal.aborted) resolve();
        this.consume(connection, reject).catch(reject);
      });
    } finally {
      connection.removeAllListeners();
      connection.on('error', () => {});
      // What was not acknowledged comes again once the connection is closed.
      await connection.close().catch(() => {});
    }
  }

  async consume(connection, reject) {
    const channel = await connection.createChannel();
    channel.on('error', reject);
    channel.on('close', () => reject(new Error('channel closed')));
    await this.declare(channel);
    await channel.prefetch(PREFETCH);
    await channel.consume(this.options.queue, (message) => {
      try {
        // Without a message, the broker has ended the consumer.
        if (!message) throw new Error('the queue was deleted, or moved');
        this.failures = 0;
        this.handle(channel, message);
      } catch (error) {
        reject(error);
      }
    });
  }

  // A queue of our own that keeps the events while we are away, and one for poison. The exchange is
  // the daemon's to declare. Until it has, the binding fails, and we try again.
  async declare(channel) {
    const { queue, prefix, bind } = this.options;
    const dead = `${queue}.dead`;
    const quorum = { 'x-queue-type': 'quorum' };
    await channel.assertQueue(dead, { durable: true, arguments: quorum });
    const deadLetters = {
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': dead,
      // Moved with confirms, which asks for this overflow; the queue has no limit, so it never
      // refuses anything.
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
      // An event that kills us each time does not do it for ever.
      'x-delivery-limit': 20,
    };
    await channel.assertQueue(queue, { durable: true, arguments: { ...quorum, ...deadLetters } });
    for (const result of bind.split(',')) {
      await channel.bindQueue(queue, `${prefix}.outcomes`, `*.${result}`);
    }
  }

  handle(channel, message) {
    let event;
    try {
      event = readEvent(message.content);
    } catch (error) {
      this.counts.poison++;
      console.error(`set aside: ${error.message}`);
      // To the dead letters, where a person looks. Requeued, it would come at once, for ever.
      channel.reject(message, false);
      return;
    }
    const what = meaning(event);
    if (what === undefined) {
      this.counts.ignored++;
      console.error(`ignored: ${event.kind}.${event.result}`);
    } else {
      this.work(event, what);
    }
    // Last. Acknowledged first, an event would be lost by a crash in between.
    channel.ack(message);
  }

  work({ id, kind, data }, what) {
    const row = { id, what, kind, number: data.out_request_no, amount: data.amount ?? null };
    let isNew;
    try {
      isNew = this.store.work(row);
    } catch (error) {
      // Then there is no acknowledgement, and the event comes again.
      throw Object.assign(error, { isOfStore: true });
    }
    this.counts[isNew ? 'worked' : 'copies']++;
    if (isNew) console.log(JSON.stringify(row));
  }
}

function parseOptions() {
  const { values } = parseArgs({
    options: {
      amqp: { type: 'string', default: 'amqp://guest:guest@localhost:5672/%2f' },
      prefix: { type: 'string', default: 'hongbao' }, // the daemon's rabbitmq.prefix
      queue: { type: 'string', default: 'orders.outcomes' }, // a name of your service's own
      bind: { type: 'string', default: BINDINGS }, // results, separated by commas
      store: { type: 'string' }, // a file
    },
  });
  if (!values.store) throw new Error('--store is missing');
  return values;
}

let options;
try {
  options = parseOptions();
} catch (error) {
  console.error(error.message);
  process.exit(64);
}
try {
  const store = new Store(options.store);
  await new Subscriber(options, store).run();
  store.close();
} catch (error) {
  console.error(`the store: ${error.message}`);
  process.exit(74);
}
