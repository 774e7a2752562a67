// Bodies of jobs, good and bad: those of the list, those of the page, and those made by chance.
import { readFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { examples } from "./schemas.mjs";

export const list = JSON.parse(readFileSync("tests/contracts/bad_jobs.json", "utf8"));

/** The bad bodies of the list: `{bytes, error, rule}`. */
export function listed() {
  return list.jobs.map(({ body, hex, blanks_to: length, error, rule }) => {
    let bytes = hex ? Buffer.from(hex, "hex") : Buffer.from(body);
    if (length) bytes = Buffer.concat([bytes, Buffer.alloc(length - bytes.length, " ")]);
    return { bytes, error, rule };
  });
}

/** The bad bodies of docs/jobs.md: its first example of a kind with the members that a row gives. */
export function documented() {
  const page = readFileSync("docs/jobs.md", "utf8");
  const first = new Map();
  for (const job of examples("docs/jobs.md")) if (!first.has(job.kind)) first.set(job.kind, job);
  const table = page.split("| given | error |\n")[1].split("\n").slice(1);
  const rows = table.slice(0, table.findIndex((line) => !line.startsWith("|")));
  return rows.map((row) => {
    const [, given, error] = /^\| `(.*)` \| `(.*)` \|$/.exec(row);
    const members = JSON.parse(given);
    const example = first.get(members.kind ?? "disburse") ?? first.get("disburse");
    const kept = Object.entries(example).filter(([name]) => !(name in members));
    // The row stays text, for it may hold a member twice.
    const body = `${JSON.stringify(Object.fromEntries(kept)).slice(0, -1)},${given.slice(1)}`;
    const rule = error.endsWith("is given twice") ? "twice" : error.includes("must differ from") ? "own_order" : undefined;
    return { bytes: Buffer.from(body), error, rule };
  });
}

/** Whether the schema takes what a usual parser makes of these bytes. */
export function schemaTakes(schema, bytes) {
  let value;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
  } catch {
    return false;
  }
  return schema.takes(value);
}

/** What the daemon's own reading says of each body: its faults, none if it takes it. */
export function daemonSays(hongbaod, bodies, options) {
  const input = Buffer.concat(bodies.flatMap((bytes) => [bytes, Buffer.from("\n")]));
  const words = ["submit", "--file", "-", "--dry-run", "--json"];
  const done = spawnSync(hongbaod, words, { input, encoding: "utf8", maxBuffer: 1 << 28, ...options });
  if (done.status > 1) throw new Error(`submit --dry-run: ${done.stderr}`);
  const said = bodies.map(() => []);
  const lines = done.stdout.trim().split("\n").map((line) => JSON.parse(line));
  for (const { line, errors } of lines.slice(0, -1)) {
    // That an instant is over is no fault of the body: the daemon would reject such a job as expired.
    said[line - 1] = errors.filter(({ fault }) => !fault.startsWith("has passed already")).map(({ field, fault }) => `${field}: ${fault}`);
  }
  const { valid, refused } = lines.at(-1).summary;
  if (valid + refused !== bodies.length) throw new Error(`${bodies.length} bodies, but ${valid + refused} were judged`);
  return said;
}

/** The rule that lets the schema take what the daemon refuses, or nothing. */
export function ruleOf(bytes, faults) {
  const text = bytes.toString();
  const all = (pattern) => faults.every((fault) => pattern.test(fault));
  if (faults.length === 0) return undefined;
  if (all(/ is given twice$/)) return "twice";
  if (all(/^out_order_no: must differ from deduct_out_order_no/)) return "own_order";
  if (all(/^not_after: must be an RFC 3339/) && /"not_after":"9999-12-3[01]/.test(text)) return "end_of_time";
  if (all(/^body: is not a JSON object/) && /\\u[dD][89a-fA-F]/.test(text)) return "half_character";
  if (all(/^body: is \d+ bytes long/) && bytes.length > 65536) return "length";
  if (all(/^body: is not UTF-8/)) return "utf8";
  return undefined;
}

/** Numbers by chance, the same ones for the same seed. */
export function dice(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const below = (count) => Math.floor(next() * count);
  return { below, of: (choices) => choices[below(choices.length)], chance: (share) => next() < share };
}

const VALUES = [
  "R1", "P202611220001", "a-b_c", "x".repeat(32), "x".repeat(33), "x".repeat(64), "x".repeat(65), "A", "main", "2088102146225135", "2".repeat(32),
  "0.01", "0.00", "00.10", "1.00", "8.88", "99999999.99", "100000000.00", "100000000.01", "100000001.00", "99999999999999999999.00", "1.0", "1", "1e2", "0008.88",
  "1m", "0001m", "00001m", "9999m", "10000m", "168h", "0168h", "169h", "7d", "07d", "8d", "0d", "d", "1 m", "1s",
  "someone@example.com", "13800000000", "!", "~".repeat(100), "~".repeat(101), "a b", "小明", "红".repeat(100), "红".repeat(101), "🧧".repeat(64), "🧧".repeat(65), "🧧".repeat(100), "🧧".repeat(101),
  "", " ", "\t", "\n", "\u0000", "\u007f", "\u0080", "\u009f", "\u00a0", "\u2028", "\ufeff", "a\u0085", "{}", "{\"a\":\"b\"}", "x".repeat(300), "x".repeat(301),
  "http://a", "https://live.example/rooms/42", "https://", "https:///", "https://?", "https://~", "https://;", "https://=/", "https://[::1]/", "https://-", "HTTPS://a", `https://${"a".repeat(248)}`, `https://${"a".repeat(249)}`,
  "2026-11-22T10:00:00+08:00", "2030-01-01t00:00:00z", "2030-01-01T00:00:00.123456789Z", "2030-01-01T00:00:00.1234567890Z", "2030-01-01T00:00:00.Z", "2030-02-29T00:00:00Z", "2028-02-29T23:59:59Z", "2030-01-01T23:59:60Z", "2030-01-01T24:00:00Z",
  "2030-01-01 00:00:00Z", "2030-01-01T00:00:00", "2030-01-01T00:00:00+23:59", "2030-01-01T00:00:00-24:00", "2030-01-01T00:00:00+8:00", "0000-01-01T00:00:00Z", "9999-12-30T22:00:00Z", "9999-12-31T23:59:59Z", "2030-00-01T00:00:00Z", "2030-12-31T23:59:59-00:00", "20300101T000000Z", "+2030-01-01T00:00:00Z", "2030-06-31T00:00:00Z",
  "disburse", "refund", "query", "pay", "app_pay", "page_pay", "Pay", "gift",
];
const INSTANTS = VALUES.filter((value) => /^[+0-9-]+[Tt ]/.test(value));
const OTHERS = [null, null, 0, 8.88, -1, 1e300, true, false, [], ["42"], {}, { room: "42" }];
const CHARACTERS = [..."aZ09_-.:/@ +~!?#%\\\"'红🧧\u0000\u001f\u007f\u0085\u00ad\u2028"];

/** A body near a valid one. */
export function made({ below, of, chance }, jobs, fields) {
  const job = structuredClone(of(jobs));
  if (chance(0.1)) job.kind = of(jobs).kind;
  for (let changes = below(4); changes > 0; changes -= 1) {
    const name = chance(0.6) ? of(Object.keys(job).concat("kind")) : of(fields);
    const roll = below(10);
    if (roll < 1) delete job[name];
    else if (roll < 4) job[name] = of(name === "not_after" && chance(0.7) ? INSTANTS : VALUES);
    else if (roll < 5) job[name] = of(OTHERS);
    else if (roll < 6) job[name] = null;
    else if (roll < 7) job.labels = labels(below, of);
    else if (roll < 8 && chance(0.3)) job[name] = job[of(Object.keys(job).concat("kind"))];
    else if (roll < 8 && chance(0.3)) job[`${name}${of(["_", "s", "\u0000", " "])}`] = of([null, "x"]);
    else if (typeof job[name] === "string") {
      const at = below(job[name].length + 1);
      job[name] = job[name].slice(0, at) + of(CHARACTERS) + job[name].slice(at + below(2));
    }
  }
  let text = JSON.stringify(job);
  if (chance(0.01)) text = text.replace(/("(?:order_title|remark)":"[^"\\]*)"/, "$1\\ud83d\"");
  const [name, value] = of(Object.entries(job)) ?? ["kind", "pay"];
  return Buffer.from(chance(0.01) ? `${text.slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(value)}}` : text);
}

function labels(below, of) {
  const pairs = Array.from({ length: of([0, 1, 2, 8, 9]) }, (_, index) => [
    of(["room", "a.b", "x".repeat(64), "x".repeat(65), "", "ro om", "红", "_", "-", "A"]) + (below(4) === 0 ? "" : index),
    of(["42", "", "红".repeat(64), "红".repeat(65), "\u0000", "🧧", null, 42, "a\u0085"]),
  ]);
  return Object.fromEntries(pairs);
}
