// A sandbox and daemons for the page to look at.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";

const PATIENCE_MS = 60_000;

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Waits for a line of a process's output. */
function line(child, wanted) {
  return new Promise((resolve, reject) => {
    let text = "";
    const timer = setTimeout(() => reject(new Error(`no line ${wanted} in:\n${text}`)), PATIENCE_MS);
    for (const stream of [child.stdout, child.stderr].filter(Boolean)) {
      stream.setEncoding("utf8");
      stream.on("data", (part) => {
        // Read to its end, also when the line was found: nobody is held up by a full pipe.
        if (text.length < 100_000) text += part;
        if (wanted.test(text)) {
          clearTimeout(timer);
          resolve();
        }
      });
    }
    child.on("exit", () => reject(new Error(`it ended:\n${text}`)));
  });
}

function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once("exit", resolve));
}

export class World {
  #hongbaod;
  #scratch;
  #running = [];
  #environment;
  gateway = "";
  prefix = `page-${process.pid}`;

  constructor(hongbaod, scratch) {
    this.#hongbaod = hongbaod;
    this.#scratch = scratch;
    this.#environment = {
      ...process.env,
      HOSTNAME: "hongbaod-6d4f9c7b8d-x2x4p",
      HONGBAOD__RABBITMQ__URLS: process.env.HONGBAOD_TEST_AMQP,
      HONGBAOD__REDIS__URLS: process.env.HONGBAOD_TEST_REDIS,
      HONGBAOD__RABBITMQ__PREFIX: this.prefix,
      HONGBAOD__LEDGER__DOUBT: "1m",
    };
  }

  async sandbox() {
    const keys = `${this.#scratch}/keys`;
    mkdirSync(keys, { recursive: true });
    // It prints the section of the configuration that leads to it.
    const config = openSync(`${this.#scratch}/hongbaod.toml`, "w");
    const options = ["--listen", "127.0.0.1:0", "--keys", keys, "--packet", "P1=1000000.00", "--delay", "40ms"];
    const child = this.#start(["sandbox", ...options], {}, config);
    await line(child, /^listening/m);
    this.gateway = /^gateway = "(.*)"$/m.exec(this.config())[1];
  }

  /** A running daemon: `{url, stop}`. */
  async daemon(settings = {}) {
    const port = settings.port ?? await freePort();
    const child = this.#start(["run"], {
      HONGBAOD__ADMIN__LISTEN: `127.0.0.1:${port}`,
      ...(settings.token ? { HONGBAOD__ADMIN__TOKEN: settings.token } : {}),
    });
    await line(child, /hongbaod takes jobs/);
    const stop = async (signal = "SIGTERM") => {
      child.kill(signal);
      await ended(child);
    };
    return { url: `http://127.0.0.1:${port}/`, port, stop };
  }

  #start(args, more = {}, output = "pipe") {
    const child = spawn(this.#hongbaod, args, {
      cwd: this.#scratch,
      env: { ...this.#environment, ...more },
      stdio: ["ignore", output, "pipe"],
    });
    this.#running.push(child);
    return child;
  }

  /** Sends jobs, each an object. */
  submit(jobs) {
    writeFileSync(`${this.#scratch}/jobs.ndjson`, jobs.map((job) => JSON.stringify(job)).join("\n"));
    const done = spawnSync(this.#hongbaod, ["submit", "--file", "jobs.ndjson"], { cwd: this.#scratch, env: this.#environment, encoding: "utf8" });
    if (done.status !== 0) throw new Error(`submit: ${done.stdout}${done.stderr}`);
  }

  show(number) {
    const done = spawnSync(this.#hongbaod, ["show", number, "--json"], { cwd: this.#scratch, env: this.#environment, encoding: "utf8" });
    if (done.status !== 0) throw new Error(`show: ${done.stderr}`);
    return JSON.parse(done.stdout);
  }

  async faults(knobs) {
    const base = new URL("/_sandbox/faults", this.gateway);
    const answer = await fetch(base, { method: "PUT", body: JSON.stringify(knobs) });
    if (!answer.ok) throw new Error(`faults: ${await answer.text()}`);
  }

  async close() {
    for (const child of this.#running) child.kill("SIGKILL");
    await Promise.all(this.#running.map(ended));
  }

  config() {
    return readFileSync(`${this.#scratch}/hongbaod.toml`, "utf8");
  }
}

let made = 0;

/** So many disbursements; every twentieth has a payee that Alipay does not know. */
export function disbursements(count, word = "R") {
  return Array.from({ length: count }, (_, index) => {
    made += 1;
    const number = `${word}${String(made).padStart(6, "0")}`;
    return {
      kind: "disburse", out_request_no: number, out_order_no: number, deduct_out_order_no: "P1",
      order_title: "Lucky money", amount: `${1 + (made * 7) % 9}.${10 + (made * 13) % 90}`,
      ...(index % 5 === 4 ? { payee_logon_id: "13800000000" } : { payee_user_id: index % 20 === 10 ? "2088000000000001" : "2088102146225135" }),
    };
  });
}
