// What the live page promises, looked at in a real browser. Started by `tests/page/run`.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";

import { Browser } from "./browser.mjs";
import { World, disbursements } from "./world.mjs";

const [hongbaod, chromium, scratch, pictures] = process.argv.slice(2);
const TOKEN = "a-token-that-nobody-guesses";
if (pictures) mkdirSync(pictures, { recursive: true });

/** Every visible text whose contrast with its background is under 4.5, as WCAG 2.2 counts it. */
const WEAK_TEXTS = `(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = rgba(getComputedStyle(one).backgroundColor);
      if (color[3] === 255) return color;
    }
    return rgba("Canvas");
  };
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let looked = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, .unseen, .skip, noscript")) continue;
    looked += 1;
    const [one, other] = [light(rgba(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) weak.push(element.tagName + "." + element.className + " " + walker.currentNode.data.trim().slice(0, 30) + " " + contrast.toFixed(2));
  }
  return { looked, weak };
})()`;

const settled = `[...document.querySelectorAll("#kinds .card")].some((card) => /Since start: [0-9,]+ received, .*succeeded/.test(card.innerText))`;
const headline = (word) => `document.querySelector("#headline").innerText.includes(${JSON.stringify(word)})`;
const outcomes = `document.querySelectorAll("#outcomes tr[data-key]").length`;

let steps = 0;
async function step(what, work) {
  const begin = Date.now();
  await work();
  steps += 1;
  console.log(`ok   ${what} (${Date.now() - begin} ms)`);
}

async function contrast(tab, where) {
  for (const scheme of ["light", "dark"]) {
    await tab.scheme(scheme);
    const { looked, weak } = await tab.evaluate(WEAK_TEXTS);
    assert.ok(looked > 20, `${where}: only ${looked} texts`);
    assert.deepEqual(weak, [], `${where}, ${scheme}`);
  }
  await tab.scheme("light");
}

async function widths(tab, where) {
  for (const width of [320, 390, 768, 1280]) {
    await tab.size(width, 800);
    const wide = await tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert.equal(wide, 0, `${where}: at ${width} px it is ${wide} px too wide`);
  }
  await tab.size(1280, 900);
}

async function picture(tab, name, width = 1280, height = 900) {
  if (!pictures) return;
  await tab.size(width, height);
  await tab.evaluate("window.getSelection().removeAllRanges(); document.activeElement.blur(); window.scrollTo(0, 0)");
  await tab.screenshot(`${pictures}/${name}.png`);
  await tab.size(1280, 900);
}

/** Nothing has been complained of, but for what a step makes happen on purpose. */
function quiet(tab, expected = /^$/) {
  const complaints = tab.complaints.filter((complaint) => !expected.test(complaint));
  assert.deepEqual(complaints, []);
  tab.complaints.length = 0;
}

async function withToken(world, browser, behind) {
  const daemon = await world.daemon({ token: TOKEN });
  const tab = await browser.open();
  await step("a page that is hidden asks nothing", async () => {
    await tab.front();
    await behind.until("it is paused", `document.querySelector("#live").innerText === "paused while hidden"`);
    const asked = await behind.evaluate(`performance.getEntriesByType("resource").length`);
    await tab.until("two seconds have gone by", `performance.now() > 2000`);
    assert.equal(await behind.evaluate(`performance.getEntriesByType("resource").length`), asked);
  });
  await step("behind a token the page asks for it, and shows nothing before", async () => {
    await tab.goto(daemon.url);
    await tab.until("it asks", `!document.querySelector("#token-form").hidden`);
    assert.equal(await tab.evaluate("document.activeElement.id"), "token");
    assert.equal(await tab.evaluate(`document.querySelector("#board").hidden`), true);
    quiet(tab);
  });
  await step("a wrong token is said to be wrong", async () => {
    await tab.type("a-token-that-somebody-guessed");
    await tab.press("Enter", "\r");
    await tab.until("it is refused", `document.querySelector("#token-said").innerText.includes("not the token")`);
    quiet(tab, /401/);
  });
  await step("the right one opens, is kept for the tab, and is in no address", async () => {
    await tab.type(TOKEN);
    await tab.press("Enter", "\r");
    await tab.until("it is open", `!document.querySelector("#board").hidden`);
    await tab.goto(daemon.url);
    await tab.until("it is open again", `!document.querySelector("#board").hidden`);
    const kept = await tab.evaluate(`[Object.values(sessionStorage).join(), localStorage.length, document.cookie, location.href]`);
    assert.deepEqual(kept, [TOKEN, 0, "", daemon.url]);
    const addresses = await tab.evaluate(`performance.getEntriesByType("resource").map((one) => one.name).join()`);
    assert.ok(!addresses.includes(TOKEN));
    quiet(tab);
  });
  await tab.close();
  await behind.front();
  await step("and goes on when it is looked at again", async () => {
    await behind.until("it is live", `document.querySelector("#live").innerText.startsWith("live,")`);
  });
  await daemon.stop();
}

async function idle(tab, daemon) {
  await step("a page without jobs says so, and loads nothing from elsewhere", async () => {
    await tab.goto(daemon.url);
    await tab.until("it is live", `document.querySelector("#live").innerText.startsWith("live,")`);
    assert.match(await tab.text("#process"), /^\d+\.\d+\.\d+ \([^)]+\) · hongbaod-6d4f9c7b8d-x2x4p · up for/);
    assert.match(await tab.text("#kinds"), /No job has come/);
    assert.match(await tab.text("#headline"), /Redis is new, or may have lost its memory/);
    const origins = await tab.evaluate(`[...new Set(performance.getEntriesByType("resource").map((one) => new URL(one.name).origin))]`);
    assert.deepEqual(origins, [new URL(daemon.url).origin]);
    quiet(tab);
  });
  await step("contrast and widths hold while it is idle", async () => {
    await contrast(tab, "idle");
    await widths(tab, "idle");
  });
}

async function live(tab, world) {
  await step("it is live while jobs are paid, without a reload", async () => {
    await tab.evaluate("window.untouched = true");
    world.submit(disbursements(60));
    await tab.until("jobs are counted", settled);
    await tab.until("outcomes are listed", `${outcomes} >= 50`);
    const before = await tab.evaluate(outcomes);
    assert.match(await tab.text("#kinds"), /disburse/);
    assert.match(await tab.text("#apps"), /calls are made/);
    assert.match(await tab.text("#codes"), /10000/);
    assert.match(await tab.text("#codes"), /PAYEE_NOT_EXIST/);
    assert.ok(before > 0);
    assert.equal(await tab.evaluate("window.untouched"), true);
    assert.ok(!(await tab.text("body")).includes("13800000000"));
    quiet(tab);
  });
  await step("all is well once the ledger's youth is over", async () => {
    await tab.until("it says so", headline("All is well"), 90_000);
    assert.match(await tab.evaluate("document.title"), /^All is well/);
    await picture(tab, "idle");
    quiet(tab);
  });
}

async function search(tab, world) {
  const [job] = disbursements(1, "HARD");
  const number = job.out_request_no;
  await step("a job that Alipay keeps silent about leaves its history", async () => {
    await world.faults({ unknown_with_effect_permille: 1000, faults_per_number_max: 1 });
    world.submit([job]);
    await tab.until("it is settled", `document.querySelector("#outcomes").innerText.includes("${number}")`);
    await world.faults({});
    const shown = world.show(number);
    assert.equal(shown.result, "succeeded");
    assert.deepEqual(shown.history.map((call) => [call.number, call.call, call.verdict]), [[1, "send", "unknown"], [2, "query", "succeeded"]]);
    assert.equal(shown.history[0].replica, "hongbaod-6d4f9c7b8d-x2x4p");
  });
  await step("its life is found by its number, with the keyboard alone", async () => {
    await tab.evaluate("document.activeElement.blur()");
    await tab.press("Tab");
    assert.match(await tab.evaluate("document.activeElement.innerText"), /Skip to the search/);
    await tab.press("Enter", "\r");
    assert.equal(await tab.evaluate("document.activeElement.id"), "search");
    await tab.type(number);
    await tab.press("Enter", "\r");
    await tab.until("the timeline is there", `document.querySelectorAll("#life .timeline li").length === 3`);
    const life = await tab.text("#life");
    for (const part of [number, "Call 1, send: unknown", "20000", "Call 2, query: succeeded", "Settled: succeeded, after 2 calls", "x2x4p"]) {
      assert.ok(life.includes(part), `${part} in\n${life}`);
    }
    assert.equal(await tab.evaluate("document.activeElement.id"), "life");
    await contrast(tab, "life");
    await widths(tab, "life");
    await picture(tab, "life");
    quiet(tab);
  });
  await step("a number in the list leads to its life, and one that is unknown is said to be", async () => {
    await tab.evaluate(`document.querySelector("#outcomes tr:last-child button").click()`);
    await tab.until("another life", `!document.querySelector("#life").innerText.includes("${number}") && document.querySelector("#life").innerText.includes("Settled")`);
    await tab.evaluate(`document.querySelector("#search").value = "NOBODY"; document.querySelector("#search-form").requestSubmit()`);
    await tab.until("it says so", `document.querySelector("#life").innerText.includes("knows no such job")`);
    await tab.evaluate(`document.querySelector("#life-close").click()`);
    assert.equal(await tab.evaluate(`document.querySelector("#life").hidden && document.activeElement.id`), "search");
    await tab.evaluate(`document.querySelector("#search").value = ""`);
    quiet(tab);
  });
}

async function burst(tab, world) {
  await step("during a burst it shows the rate, the wait and the shares", async () => {
    await world.faults({ unknown_with_effect_permille: 20, in_progress_done_permille: 20, limited_permille: 10 });
    const queries = disbursements(40, "Q").map(({ out_order_no, out_request_no }) => ({ kind: "query", out_order_no, out_request_no }));
    world.submit([...disbursements(2400), ...queries]);
    const rate = `Number(document.querySelector("#kinds .card .big")?.firstChild?.data)`;
    await tab.until("a rate is there", `${rate} > 5`);
    await tab.until("it lasts", `document.querySelectorAll("#kinds .card").length === 2 && ${outcomes} === 100`);
    if (pictures) await new Promise((resolve) => setTimeout(resolve, 9_000));
    const card = await tab.text("#kinds .card");
    assert.match(card, /Job p50 · 95 · 99\s*≤ [\d.]+( m?s)? · (over )?[\d.]+( m?s)? · (over )?[\d.]+ m?s/);
    assert.match(card, /Succeeded\s*\d+(\.\d)? % of [\d,]+, last/);
    await tab.until("calls are counted", `/Calls now\\s*[\\d.]+\\/s disburse/.test(document.querySelector("#apps").innerText)`);
    await picture(tab, "burst");
    await tab.scheme("dark");
    await picture(tab, "dark");
    await tab.scheme("light");
    await picture(tab, "phone", 390, 844);
    if (pictures) await tab.size(390, 844);
    if (pictures) await tab.screenshot(`${pictures}/phone-whole.png`, true);
    await contrast(tab, "burst");
    await widths(tab, "burst");
    await world.faults({});
    quiet(tab);
  });
}

async function accessible(tab) {
  await step("every control has a name, and the keyboard reaches it", async () => {
    const nameless = await tab.evaluate(`[...document.querySelectorAll("input, select, button, a")].filter((one) => one.checkVisibility())
      .filter((one) => !(one.labels?.length || one.getAttribute("aria-label") || one.innerText?.trim())).map((one) => one.outerHTML)`);
    assert.deepEqual(nameless, []);
    await tab.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)");
    const reached = new Set();
    for (let presses = 0; presses < 160; presses += 1) {
      await tab.press("Tab");
      reached.add(await tab.evaluate(`(() => { const at = document.activeElement; return at.id || at.getAttribute("aria-label") || at.getAttribute("href") || at.className; })()`));
    }
    for (const place of ["search", "Recent outcomes", "What Alipay answers", "/healthz", "/readyz", "/metrics", "plain"]) {
      assert.ok(reached.has(place), `${place} is not among ${[...reached]}`);
    }
    const tree = await tab.evaluate(`[document.documentElement.lang, document.querySelectorAll("h1").length, document.querySelectorAll("main").length, document.querySelector("[role=status]").getAttribute("aria-live")]`);
    assert.deepEqual(tree, ["en", 1, 1, "polite"]);
  });
  await step("nothing moves by itself", async () => {
    assert.equal(await tab.evaluate("document.getAnimations().length"), 0);
  });
  await step("a selection survives while the page goes on", async () => {
    await tab.evaluate(`window.getSelection().selectAllChildren(document.querySelector("#apps h3"))`);
    const seen = await tab.text("#live");
    await tab.until("it has gone on", `document.querySelector("#live").innerText !== ${JSON.stringify(seen)}`);
    assert.equal(await tab.evaluate("window.getSelection().toString()"), "main");
    quiet(tab);
  });
}

async function blocked(tab, world) {
  await step("a blocked app is the first thing that is said, with Alipay's own code", async () => {
    await world.faults({ permission: "refused" });
    world.submit(disbursements(30, "B"));
    await tab.until("it says so", headline("main is blocked: Alipay says"));
    const text = await tab.text("#headline");
    assert.match(text, /\(40006\) since \d\d:\d\d:\d\d/);
    assert.match(text, /Nothing is lost; its jobs wait/);
    assert.match(await tab.evaluate("document.title"), /^! main is blocked/);
    assert.match(await tab.text("#incidents"), /main is blocked: Alipay says/);
    await tab.until("jobs wait", `document.querySelector("#kinds").innerText.includes("blocked")`);
    await contrast(tab, "blocked");
    await picture(tab, "blocked");
    await widths(tab, "blocked");
  });
  await step("it is well again by itself, and the incident stays", async () => {
    await world.faults({});
    await tab.until("it is well", headline("All is well"), 90_000);
    assert.match(await tab.text("#incidents"), /main calls Alipay again/);
    quiet(tab);
  });
}

async function away(tab, world, daemon) {
  let again;
  await step("a daemon that does not answer is said not to, and comes back without a reload", async () => {
    await daemon.stop("SIGKILL");
    await tab.until("it says so", headline("The daemon does not answer"));
    assert.match(await tab.text("#live"), /^no answer since \d\d:\d\d:\d\d/);
    await contrast(tab, "away");
    await picture(tab, "away");
    again = await world.daemon({ port: daemon.port });
    await tab.until("it is live", `document.querySelector("#live").innerText.startsWith("live,")`);
    assert.ok(!(await tab.text("#headline")).includes("does not answer"));
    assert.equal(await tab.evaluate("window.untouched"), true);
    quiet(tab, /ERR_CONNECTION|ERR_EMPTY_RESPONSE|Failed to load resource/);
  });
  return again;
}

async function withoutScripts(browser, daemon) {
  const tab = await browser.open();
  await step("without scripts it says how things stand, and shows the conditions", async () => {
    await tab.send("Emulation.setScriptExecutionDisabled", { value: true });
    await tab.goto(daemon.url);
    const text = await tab.text("main");
    assert.match(text, /All is well|Redis is new/);
    assert.match(text, /Conditions at load/);
    assert.match(text, /disburse/);
    quiet(tab);
  });
  await tab.close();
}

const world = new World(hongbaod, scratch);
const browser = new Browser(chromium, scratch);
try {
  await world.sandbox();
  const daemon = await world.daemon();
  const tab = await browser.open();
  await idle(tab, daemon);
  await withToken(world, browser, tab);
  await live(tab, world);
  await search(tab, world);
  await burst(tab, world);
  await accessible(tab);
  await blocked(tab, world);
  const again = await away(tab, world, daemon);
  await withoutScripts(browser, again);
  console.log(`page: ${steps} steps, all ok`);
} finally {
  await browser.close().catch(() => {});
  await world.close();
}
