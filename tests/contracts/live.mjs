// The real daemon, its queues, and everything that it publishes.
import { spawn } from "node:child_process";
import { createSign } from "node:crypto";
import { mkdirSync, openSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import amqp from "amqplib";
import { printed } from "./schemas.mjs";

const PATIENCE_MS = 60_000;

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Waits until `look` returns something. */
export async function eventually(what, look) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`not seen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

function line(child, wanted) {
  let text = "";
  for (const stream of [child.stdout, child.stderr].filter(Boolean)) {
    stream.setEncoding("utf8");
    stream.on("data", (part) => { text = (text + part).slice(-20_000); });
  }
  return eventually(`${wanted} of a process`, () => {
    if (child.exitCode !== null) throw new Error(`it ended: ${text}`);
    return wanted.test(text);
  });
}

/** Asks Redis one thing, inline, and returns the answer as it comes. */
function redis(words) {
  const { hostname, port } = new URL(process.env.HONGBAOD_TEST_REDIS);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(`${words}\r\n`));
    socket.setEncoding("utf8").on("error", reject);
    let text = "";
    socket.on("data", (part) => {
      text += part;
      if (text.endsWith("\r\n")) socket.end(() => resolve(text));
    });
  });
}

/**
 * Makes a ledger that is known for an hour: of a new one the daemon believes for a minute that it may have
 * forgotten, and rejects nothing as expired or over budget until then. Its key is the tripwire's canary.
 */
async function knownLedger(prefix) {
  const runId = /run_id:(\w+)/.exec(await redis("INFO server"))[1];
  const born = Date.now() - 3_600_000;
  const answer = await redis(`SET ${prefix}:canary "2 ${"0".repeat(31)}1 ${born} ${runId}"`);
  if (!answer.startsWith("+OK")) throw new Error(`Redis: ${answer}`);
}

export class World {
  events = [];
  replies = [];
  dead = [];
  returned = [];
  #children = [];

  constructor(hongbaod, scratch) {
    this.hongbaod = hongbaod;
    this.scratch = scratch;
    this.prefix = `contracts-${process.pid}`;
  }

  async start() {
    this.env = {
      ...process.env,
      HONGBAOD__RABBITMQ__URLS: process.env.HONGBAOD_TEST_AMQP,
      HONGBAOD__REDIS__URLS: process.env.HONGBAOD_TEST_REDIS,
      HONGBAOD__RABBITMQ__PREFIX: this.prefix,
      HONGBAOD__RABBITMQ__SHARDS__DISBURSE: "3",
      HONGBAOD__ADMIN__LISTEN: "127.0.0.1:0",
      HONGBAOD__ALIPAY__TIMEOUT: "1s",
      HONGBAOD__ALIPAY__CONNECT_TIMEOUT: "500ms",
      HONGBAOD__LEDGER__LEASE: "1500ms",
      HONGBAOD__LEDGER__DOUBT: "1m",
      HONGBAOD__RETRY__ABSENCE_WINDOW: "1500ms",
      HONGBAOD__RETRY__DELAY_MIN: "250ms",
      HONGBAOD__RETRY__DELAY_MAX: "1s",
      HONGBAOD__RETRY__QUERY_ATTEMPTS: "2",
      HONGBAOD__BUDGET__OVER: "reject",
      HONGBAOD__BUDGET__PER_PAYEE__DAY: "1000.00",
    };
    await knownLedger(this.prefix);
    mkdirSync(`${this.scratch}/keys`);
    const config = openSync(`${this.scratch}/hongbaod.toml`, "w");
    const sandbox = this.#spawn(["sandbox", "--listen", "127.0.0.1:0", "--keys", "keys", "--packet", "P1=100000.00"], config);
    await line(sandbox, /^listening/m);
    const text = readFileSync(`${this.scratch}/hongbaod.toml`, "utf8");
    this.console = new URL("/_sandbox/", /^gateway = "(.*)"$/m.exec(text)[1]);
    this.appId = /^app_id = "(.*)"$/m.exec(text)[1];
    for (let tries = 5; !this.daemon; tries -= 1) await this.#startDaemon(tries);
    this.document = JSON.parse(printed(this.hongbaod, ["schema", "asyncapi"], { cwd: this.scratch, env: this.env }));
    this.connection = await amqp.connect(process.env.HONGBAOD_TEST_AMQP);
    this.channel = await this.connection.createConfirmChannel();
    this.channel.on("return", (message) => this.returned.push(message));
    await this.#listen();
  }

  /** The address of the notifications has to be known before the start, so its port may be taken meanwhile. */
  async #startDaemon(tries) {
    const listen = `127.0.0.1:${await freePort()}`;
    this.notify = `http://${listen}/alipay/notify/main`;
    Object.assign(this.env, { HONGBAOD__NOTIFY__LISTEN: listen, HONGBAOD__ALIPAY__APPS__MAIN__NOTIFY_URL: this.notify });
    const daemon = this.#spawn(["run"], "pipe");
    try {
      await line(daemon, /hongbaod takes jobs/);
      this.daemon = daemon;
    } catch (error) {
      if (tries <= 1 || !error.message.includes("the port is in use")) throw error;
    }
  }

  #spawn(words, output) {
    const child = spawn(this.hongbaod, words, { cwd: this.scratch, env: this.env, stdio: ["ignore", output, "pipe"] });
    this.#children.push(child);
    return child;
  }

  async #listen() {
    const { channels } = this.document;
    const { queue } = await this.channel.assertQueue("", { exclusive: true });
    await this.channel.bindQueue(queue, channels.outcomes.bindings.amqp.exchange.name, "#");
    this.replyTo = (await this.channel.assertQueue("", { exclusive: true })).queue;
    const keep = (queue, kept) => this.channel.consume(queue, (message) => kept.push(message), { noAck: true });
    await keep(queue, this.events);
    await keep(this.replyTo, this.replies);
    await keep(channels.dead.bindings.amqp.queue.name, this.dead);
  }

  /** Declares again what the document names: with another argument RabbitMQ would refuse. */
  async compareTopology() {
    const { exchanges, queues } = this.document["x-hongbao-topology"];
    for (const { name, type, arguments: given } of exchanges) {
      await this.channel.checkExchange(name);
      const { "alternate-exchange": alternateExchange } = given;
      await this.channel.assertExchange(name, type, { durable: true, alternateExchange });
    }
    for (const { name, arguments: given } of queues) {
      await this.channel.checkQueue(name);
      await this.channel.assertQueue(name, { durable: true, arguments: given });
    }
    return exchanges.length + queues.length;
  }

  /** Publishes as the document says: persistent, mandatory, confirmed. */
  publish(body, routingKey, options = {}) {
    const operation = this.document.operations.publishJob.bindings.amqp;
    const { exchange } = this.document.channels.jobs.bindings.amqp;
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const more = { deliveryMode: operation.deliveryMode, mandatory: operation.mandatory, contentType: "application/json", ...options };
    return new Promise((resolve, reject) => {
      this.channel.publish(exchange.name, routingKey, bytes, more, (error) => (error ? reject(error) : resolve()));
    });
  }

  async job(body, options) {
    await this.publish(body, body.kind, options);
  }

  /** The first event of a type, about a number if there is one. */
  event(type, number) {
    return eventually(`${type} of ${number ?? "any job"}`, () => {
      const bodies = this.events.map((message) => JSON.parse(message.content));
      return bodies.find(({ data }) => `${data.kind}.${data.result}` === type && (!number || data.out_request_no === number));
    });
  }

  async put(place, value) {
    const answer = await fetch(new URL(place, this.console), { method: "PUT", body: JSON.stringify(value) });
    if (!answer.ok) throw new Error(`${place}: ${await answer.text()}`);
  }

  /** A notification, signed as Alipay signs it. */
  async tell(changes) {
    const params = {
      notify_type: "fund_stdtrustee_refund.success", notify_id: "2026112200222100001050", notify_time: "2026-11-22 10:00:02",
      charset: "utf-8", version: "1.0", app_id: this.appId, auth_app_id: this.appId, status: "SUCCESS",
      gmt_create: "2026-11-22 10:00:00", gmt_trans: "2026-11-22 10:00:01", ...changes,
    };
    const text = Object.keys(params).sort().map((name) => `${name}=${params[name]}`).join("&");
    const key = readFileSync(`${this.scratch}/keys/alipay_private_key.pem`, "utf8");
    const sign = createSign("RSA-SHA256").update(text).sign(key, "base64");
    const body = new URLSearchParams({ ...params, sign_type: "RSA2", sign });
    const answer = await fetch(this.notify, { method: "POST", body });
    const said = await answer.text();
    if (said !== "success") throw new Error(`the notification was answered ${answer.status} ${said}`);
  }

  /** Ends the daemon in good order, and takes its exchanges and queues away. */
  async stop() {
    this.daemon.kill("SIGTERM");
    await eventually("the daemon's end", () => this.daemon.exitCode !== null || this.daemon.signalCode !== null);
    const { exchanges, queues } = this.document["x-hongbao-topology"];
    for (const { name } of queues) await this.channel.deleteQueue(name);
    for (const { name } of exchanges) await this.channel.deleteExchange(name);
    await this.connection.close();
    return this.daemon.exitCode;
  }

  kill() {
    for (const child of this.#children) child.kill("SIGKILL");
  }
}
