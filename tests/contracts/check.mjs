// The contracts, judged by parsers of other hands. Usage: node check.mjs PATH OF hongbaod, SCRATCH
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { daemonSays, dice, documented, list, listed, made, ruleOf, schemaTakes } from "./bodies.mjs";
import { World, eventually } from "./live.mjs";
import { asyncapi, examples, printed, schemas } from "./schemas.mjs";

const [hongbaod, scratch] = process.argv.slice(2);
const { job, event, strict } = schemas(hongbaod);
const say = (text) => console.log(`contracts: ${text}`);
// The daemon's own reading, on a machine without a configuration.
const offline = { cwd: scratch, env: { ...process.env, HONGBAOD__ALIPAY__DEFAULT_APP: "main" } };

const document = await asyncapi(printed(hongbaod, ["schema", "asyncapi"], { cwd: scratch }));
say(`the AsyncAPI document parses: ${document.allChannels().length} channels, ${document.allOperations().length} operations, ${document.allMessages().length} messages`);

const jobs = examples("docs/jobs.md");
const told = examples("docs/events.md");
for (const example of jobs) assert.deepEqual(job.faults(example), [], JSON.stringify(example));
{
  const refund = job.of("refund");
  const example = jobs.find(({ kind }) => kind === "refund");
  assert.ok(refund(example));
  assert.ok(!refund({ ...example, amount: "1" }));
  // Asked for its kind alone, the schema names the one wrong field.
  assert.deepEqual(refund.errors.map(({ instancePath }) => instancePath), ["/amount"]);
}
for (const example of told) {
  assert.deepEqual(event.faults(example), [], example.id);
  assert.deepEqual(strict.faults(example), [], example.id);
}
say(`${jobs.length} jobs and ${told.length} events of the pages are valid`);

// Every bad body is refused by the schema, but for the rules that it cannot say; by the daemon always.
{
  const bad = [...listed(), ...documented()];
  const used = new Set();
  for (const { bytes, error, rule } of bad) {
    assert.equal(schemaTakes(job, bytes), rule !== undefined, `${error}: ${bytes.subarray(0, 200)}`);
    if (rule) used.add(rule);
  }
  assert.deepEqual([...used].sort(), list.beyond_schema.map(({ rule }) => rule).sort());
  const said = daemonSays(hongbaod, bad.map(({ bytes }) => bytes), offline);
  for (const [place, { bytes, error, rule }] of bad.entries()) {
    assert.equal(said[place].join("; "), error);
    assert.equal(ruleOf(bytes, said[place]), rule ?? ruleOf(bytes, said[place]), error);
  }
  say(`${bad.length} bad bodies are refused; ${bad.filter(({ rule }) => rule).length} of them by a rule that a schema cannot say: ${[...used].join(", ")}`);
}

// Near the border, made by chance: the daemon and the schema take the same bodies.
{
  const seed = Number(process.env.CONTRACTS_SEED ?? 20261122);
  const count = Number(process.env.CONTRACTS_CASES ?? 20_000);
  const chance = dice(seed);
  const fields = [...new Set(Object.values(job.schema.$defs).flatMap(({ properties }) => Object.keys(properties)))];
  const bodies = Array.from({ length: count }, () => made(chance, jobs, fields));
  const said = daemonSays(hongbaod, bodies, offline);
  const counts = { taken: 0, refused: 0 };
  for (const [place, bytes] of bodies.entries()) {
    const takes = schemaTakes(job, bytes);
    const faults = said[place];
    const rule = takes && faults.length > 0 ? ruleOf(bytes, faults) : undefined;
    if (!rule) {
      assert.equal(takes, faults.length === 0, `seed ${seed}: ${bytes}\ndaemon: ${faults.join("; ") || "takes it"}`);
    }
    const word = rule ?? (takes ? "taken" : "refused");
    counts[word] = (counts[word] ?? 0) + 1;
  }
  assert.ok(counts.taken > count / 5 && counts.refused > count / 5, JSON.stringify(counts));
  say(`${count} bodies by chance (CONTRACTS_SEED=${seed}): ${JSON.stringify(counts)}, no difference`);
}

// Consumers bear what a later version adds; the strict schema does not; neither bears what breaks v1.
{
  const success = told[0];
  const changed = (change) => {
    const copy = structuredClone(success);
    change(copy);
    return copy;
  };
  const grown = {
    "a key of the envelope": (copy) => { copy.tenant = "a"; },
    "a key of the data": (copy) => { copy.data.fee = "0.01"; },
    "a kind": (copy) => { Object.assign(copy, { type: "hongbao.gift.succeeded.v1" }).data.kind = "gift"; },
    "a result": (copy) => { Object.assign(copy, { type: "hongbao.disburse.delayed.v1" }).data.result = "delayed"; },
    "a reason": (copy) => { copy.data.reason = "somebody_said_so"; },
    "an origin": (copy) => { copy.data.origin = "bill"; },
  };
  for (const [what, change] of Object.entries(grown)) {
    assert.deepEqual(event.faults(changed(change)), [], what);
    assert.notDeepEqual(strict.faults(changed(change)), [], what);
  }
  const broken = {
    "another status of a success": (copy) => { copy.data.status = "CLOSED"; },
    "a success without its amount": (copy) => { copy.data.amount = null; },
    "an amount as a number": (copy) => { copy.data.amount = 8.88; },
    "another kind than the type": (copy) => { copy.data.kind = "refund"; },
    "a type of another version": (copy) => { copy.specversion = "0.3"; },
    "a time that is none": (copy) => { copy.time = "yesterday"; },
    "labels that are no texts": (copy) => { copy.data.labels = { room: 42 }; },
    "a signed order without the order": (copy) => { Object.assign(copy, { type: "hongbao.app_pay.signed.v1" }); Object.assign(copy.data, { kind: "app_pay", result: "signed" }); },
  };
  for (const key of Object.keys(success).filter((key) => key !== "traceparent")) broken[`no ${key}`] = (copy) => { delete copy[key]; };
  for (const key of Object.keys(success.data)) broken[`no data.${key}`] = (copy) => { delete copy.data[key]; };
  for (const [what, change] of Object.entries(broken)) assert.notDeepEqual(event.faults(changed(change)), [], what);
  say(`${Object.keys(grown).length} ways to grow pass, but for the strict schema; ${Object.keys(broken).length} breaches do not`);
}

const world = new World(hongbaod, scratch);
try {
  await world.start();
  await live();
} finally {
  world.kill();
}

function disburse(number, more = {}) {
  return { kind: "disburse", out_request_no: number, out_order_no: number, deduct_out_order_no: "P1", order_title: "Lucky money", amount: "8.88", payee_user_id: "2088102146225135", ...more };
}

function pay(number, more = {}) {
  return { kind: "pay", out_request_no: number, out_order_no: number, order_title: "Packet", amount: "10.00", payer_user_id: "2088101117955611", ...more };
}

/** Jobs of every kind and fate; resolves when everything about them was told. */
async function story() {
  const past = { not_after: "2020-01-01T00:00:00Z" };
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  await world.job(disburse("D1"), { replyTo: world.replyTo, correlationId: "c-1", headers: { traceparent, "x-hongbao-published-ms": Date.now() } });
  await world.event("disburse.succeeded", "D1");
  await world.job(disburse("D1", { amount: "9.99" }));
  await world.job(disburse("D2", { payee_user_id: "2088000000000001", labels: { room: "42" } }));
  await world.job(disburse("D3", past));
  await world.job(disburse("D4", { amount: "8.888" }));
  await world.job(disburse("D5", { amount: "850.00", payee_user_id: "2088102146220001" }));
  await world.event("disburse.succeeded", "D5");
  await world.job(disburse("D6", { amount: "200.00", payee_user_id: "2088102146220001" }));
  await world.job(pay("P2"));
  await world.job(pay("P3", { order_title: "forbidden" }));
  await world.job(pay("P4", { remark: "x" }));
  const packet = await world.event("pay.succeeded", "P2");
  const refund = { kind: "refund", auth_no: packet.data.auth_no, amount: "1.00", remark: "rest" };
  await world.job({ ...refund, out_request_no: "F1" });
  await world.job({ ...refund, out_request_no: "F2", remark: "forbidden" });
  await world.job({ ...refund, out_request_no: "F3", amount: "1" });
  for (const kind of ["app_pay", "page_pay"]) {
    const order = { kind, out_order_no: `${kind}-1`, order_title: "Packet", amount: "66.00" };
    await world.job({ ...order, out_request_no: `${kind}-1` });
    await world.job({ ...order, out_request_no: `${kind}-2`, amount: "6.6" });
  }
  const query = { kind: "query", out_order_no: "D1", out_request_no: "D1" };
  await world.job(query, { messageId: "q-1" });
  await world.job({ ...query, out_request_no: "unknown" }, { messageId: "q-2" });
  await world.job({ ...query, ...past }, { messageId: "q-3" });
  for (const [type, number] of [["disburse.rejected", "D1"], ["disburse.failed", "D2"], ["disburse.rejected", "D3"], ["disburse.rejected", "D4"], ["budget.warned"], ["disburse.rejected", "D6"], ["pay.failed", "P3"], ["pay.rejected", "P4"], ["refund.succeeded", "F1"], ["refund.failed", "F2"], ["refund.rejected", "F3"], ["app_pay.signed"], ["app_pay.rejected"], ["page_pay.signed"], ["page_pay.rejected"], ["query.found"], ["query.not_found"], ["query.rejected"]]) {
    await world.event(type, number);
  }
  // Alipay changes its mind about what has failed.
  for (const [kind, number, type] of [["disburse", "D2", "PAY"], ["pay", "P3", "PAY"], ["refund", "F2", "REFUND"]]) {
    const auth_no = kind === "refund" ? packet.data.auth_no : `20261122${number}`;
    const amount = { disburse: "8.88", pay: "10.00", refund: "1.00" }[kind];
    await world.tell({ auth_no, out_order_no: kind === "refund" ? "P2" : number, out_request_no: number, operation_id: `2026112299${number}`, operation_type: type, amount });
    await world.event(`${kind}.contradicted`, number);
  }
  // What is left of P2 goes back by itself, which no job asked for.
  await world.put("clock", { advance: "49h" });
  await eventually("the automatic refund", () => world.events.some(({ content }) => JSON.parse(content).data.origin === "notification"));
  await world.put("faults", { query_unknown_permille: 1000 });
  await world.job(query, { messageId: "q-4" });
  await world.event("query.unresolved");
}

async function live() {
  const objects = await world.compareTopology();
  const lanes = world.document.channels.jobs.parameters.lane.enum;
  for (const [place, lane] of lanes.entries()) {
    await world.publish({ kind: "query", out_order_no: "nobody", out_request_no: `lane-${place}` }, lane, { messageId: `lane-${place}` });
  }
  await eventually("an answer by every lane", () => world.events.length >= lanes.length);
  assert.equal(world.returned.length, 0, "a lane leads nowhere");
  await world.publish({ kind: "gift" }, "gift");
  await eventually("a message without a lane comes back", () => world.returned.length === 1);
  say(`RabbitMQ has the ${objects} exchanges and queues of the document, and jobs come through its ${lanes.length} lanes`);

  await story();
  const bad = [...listed(), ...documented()];
  const before = world.dead.length;
  for (const { bytes } of bad) await world.publish(bytes, "disburse");
  await eventually("every bad body is a dead letter", () => world.dead.length === before + bad.length);
  const { headers } = world.document.components.messages.dead;
  const detail = (message) => message.properties.headers["x-hongbao-detail"];
  assert.deepEqual(world.dead.slice(before).map(detail).sort(), bad.map(({ error }) => error).sort());
  for (const message of world.dead) {
    for (const name of Object.keys(message.properties.headers)) {
      assert.ok(name.startsWith("x-delivery") || name in headers.properties, `a header that the document does not know: ${name}`);
    }
    assert.equal(message.properties.headers["x-hongbao-reason"], "invalid");
  }
  say(`the daemon buries the ${bad.length} bad bodies, with the words of the list`);

  const seen = new Set(world.events.map(checked));
  world.replies.forEach(checked);
  assert.ok(world.replies.length > 0 && world.replies.every(({ properties }) => properties.correlationId === "c-1"));
  // These take a minute of silence at least; docs/events.md has the encoder's own example.
  const silent = ["disburse.unresolved", "refund.unresolved", "pay.unresolved"];
  const known = strict.schema.properties.type.enum.map((type) => type.split(".").slice(1, 3).join("."));
  assert.deepEqual([...seen].sort(), known.filter((type) => !silent.includes(type)).sort());
  const reasons = new Set(world.events.map(({ content }) => JSON.parse(content).data.reason));
  for (const reason of ["expired", "over_budget", "conflict", "invalid", "failed"]) assert.ok(reasons.has(reason), reason);
  assert.equal(await world.stop(), 0, "the daemon's exit code");
  say(`${world.events.length} events of ${seen.size} types and ${world.replies.length} replies are valid, strictly too; not awaited: ${silent.join(", ")}`);
}

/** An event as the documents want it; returns its routing key. */
function checked({ content, properties, fields }) {
  const body = JSON.parse(content);
  assert.deepEqual(event.faults(body), [], content.toString());
  assert.deepEqual(strict.faults(body), [], content.toString());
  const message = world.document.components.messages.event;
  assert.equal(properties.contentType, message.contentType);
  assert.equal(properties.deliveryMode, 2);
  assert.equal(properties.messageId, body.id);
  const key = `${body.data.kind}.${body.data.result}`;
  assert.equal(body.type, `hongbao.${key}.v1`);
  if (fields.exchange) assert.equal(fields.routingKey, key);
  return key;
}
