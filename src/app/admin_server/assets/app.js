// The page for people: asks /api/status once a second and shows it. Nothing is kept but the last
// minutes, in this page's memory, and the token, in the session of this tab.

const EVERY_MS = 1000;
const ANSWER_MS_MAX = 4000;
const KEPT_MS = 180_000;
const WINDOW_MS = 60_000;
const OUTCOMES_MAX = 100;
const TOKEN_KEY = "hongbaod-token";
const METHODS = {
  disburse: "alipay.fund.coupon.order.disburse",
  refund: "alipay.fund.coupon.order.refund",
  pay: "alipay.fund.coupon.order.agreement.pay",
  query: "alipay.fund.coupon.operation.query",
};

const $ = (id) => document.getElementById(id);

// ---------------------------------------------------------------- building and changing the page

/** Makes an element; `attributes` may have `key`, by which it is known again. */
function h(tag, attributes, ...children) {
  const inSvg = ["svg", "path", "line"].includes(tag);
  const made = inSvg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "key") made.dataset.key = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

/** Makes `old` like `wanted` and touches nothing else, so that focus and selection stay. */
function morph(old, wanted) {
  for (const { name } of [...old.attributes]) {
    if (!wanted.hasAttribute(name) && !(old.tagName === "DETAILS" && name === "open")) {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  children(old, [...wanted.childNodes]);
}

/** Gives `parent` these children, by their keys where they have one. */
function children(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.children) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  let place = parent.firstChild;
  for (const child of wanted) {
    const known = child.dataset?.key ? keyed.get(child.dataset.key) : null;
    if (known) {
      if (known !== place) parent.insertBefore(known, place);
      morph(known, child);
      place = known.nextSibling;
    } else if (place && !child.dataset?.key && !place.dataset?.key && place.nodeName === child.nodeName) {
      if (place.nodeType === Node.TEXT_NODE) {
        if (place.data !== child.data) place.data = child.data;
      } else morph(place, child);
      place = place.nextSibling;
    } else parent.insertBefore(child, place);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function show(id, ...wanted) {
  const nodes = wanted.flat(Infinity).map((one) => (typeof one === "string" ? new Text(one) : one));
  children($(id), nodes.filter((node) => node.data !== ""));
}

// -------------------------------------------------------------------------------- words and numbers

const two = (number) => String(number).padStart(2, "0");

/** The time of day here; with the day if it is not today's. */
function clock(ms) {
  const at = new Date(ms);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return at.toDateString() === new Date().toDateString() ? time : `${day} ${time}`;
}

const when = (ms) => h("time", { datetime: new Date(ms).toISOString() }, clock(ms));
const count = (number) => Math.round(number).toLocaleString("en-US");
const spaced = (word) => word.replaceAll("_", " ");

function perSecond(rate) {
  if (rate === 0) return "0";
  if (rate < 0.1) return "< 0.1";
  return rate < 10 ? rate.toFixed(1) : count(rate);
}

function length(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(ms < 10_000 ? 1 : 0))} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d`;
}

// -------------------------------------------------------------------------- the last minutes, kept

/** What was answered lately, the oldest first: `{at, status, values, histograms}`. */
let kept = [];

function keep(status) {
  const values = new Map();
  const histograms = new Map();
  for (const [family, samples] of Object.entries(status.metrics)) {
    for (const sample of samples) {
      const key = name(family, sample.labels);
      if (sample.buckets) histograms.set(key, sample);
      else values.set(key, sample.value);
    }
  }
  // Another process counts from 0 again.
  if (kept.length && kept.at(-1).status.started_at !== status.started_at) kept = [];
  kept.push({ at: status.now, status, values, histograms });
  while (kept[0].at < status.now - KEPT_MS) kept.shift();
}

function name(family, labels) {
  return `${family}|${Object.entries(labels).sort().map((pair) => pair.join("=")).join("|")}`;
}

/** The newest answer, and the one that the window begins with. */
function ends(ms = WINDOW_MS) {
  const newest = kept.at(-1);
  const first = kept.find((one) => one.at >= newest.at - ms - 500) ?? newest;
  return [first, newest];
}

const value = (one, family, labels) => one.values.get(name(family, labels)) ?? 0;

/** How much a counter grew within the window. */
function grew(family, labels, ms) {
  const [first, newest] = ends(ms);
  return Math.max(0, value(newest, family, labels) - value(first, family, labels));
}

function rate(family, labelSets, ms = 5000) {
  const [first, newest] = ends(ms);
  const seconds = (newest.at - first.at) / 1000;
  const growth = labelSets.reduce((sum, labels) => sum + grew(family, labels, ms), 0);
  return seconds > 0 ? growth / seconds : 0;
}

/** The samples of a family now whose labels are these, and more. */
function samplesOf(status, family, labels = {}) {
  const wanted = Object.entries(labels);
  const all = status.metrics[family] ?? [];
  return all.filter((sample) => wanted.every(([label, text]) => sample.labels[label] === text));
}

/** Upper bounds of p50, p95 and p99 in ms, from the buckets: of the window if it has any. */
function quantiles(family, labels) {
  const [first, newest] = ends();
  const key = name(family, labels);
  const now = newest.histograms.get(key);
  if (!now) return null;
  const before = first.histograms.get(key);
  const lately = before ? now.count - before.count : 0;
  const buckets = now.buckets.map(([bound, total], index) => [
    bound,
    lately > 0 ? total - before.buckets[index][1] : total,
  ]);
  const all = lately > 0 ? lately : now.count;
  const bound = (share) => {
    const found = buckets.find(([, total]) => total >= share * all);
    return found ? length(found[0] * 1000) : `over ${length(buckets.at(-1)[0] * 1000)}`;
  };
  return { text: [0.5, 0.95, 0.99].map(bound), lately: lately > 0 };
}

/** What the window is called: it is shorter as long as the page is new. */
function windowName() {
  const [first, newest] = ends();
  const seconds = Math.round((newest.at - first.at) / 1000);
  if (seconds < 1) return "from now on";
  return seconds >= 55 ? "last minute" : `last ${seconds} s`;
}

// ------------------------------------------------------------------------------------ the sections

function showHead(status) {
  const up = length(status.now - status.started_at);
  show("process", `${status.version} (${status.commit}) · ${status.replica} · up for ${up}`);
  const lines = status.headline.map((line) =>
    h("li", { class: line.level },
      h("p", { class: "said" }, line.text, line.since ? h("span", { class: "since" }, " since ", when(line.since)) : null),
      h("p", { class: "advice" }, line.advice)));
  show("headline", lines);
  const worst = status.headline[0];
  document.title = `${worst.level === "well" ? "" : "! "}${worst.text} · hongbaod`;
}

function pair(term, ...description) {
  return [h("dt", {}, term), h("dd", {}, ...description)];
}

/** Counts by a label's words, the greatest first: "12 succeeded, 3 unknown". */
function breakdown(samples, label) {
  const words = new Map();
  for (const sample of samples) {
    const word = spaced(sample.labels[label]);
    words.set(word, (words.get(word) ?? 0) + sample.value);
  }
  return [...words].filter(([, total]) => total > 0).sort((one, other) => other[1] - one[1])
    .map(([word, total]) => `${count(total)} ${word}`).join(", ");
}

/** The same samples, as they grew within the window. */
function lately(family, samples) {
  return samples.map((sample) => ({ ...sample, value: grew(family, sample.labels) }));
}

function spark(samples) {
  const bars = [];
  const newest = kept.at(-1).at;
  for (let back = 119; back >= 0; back -= 1) {
    const end = newest - back * 1000;
    const index = kept.findLastIndex((one) => one.at <= end + 500);
    const [one, before] = [kept[index], kept[index - 1]];
    // Before this page was opened there is nothing to draw.
    if (!before) bars.push(null);
    else {
      const growth = samples.reduce((sum, { labels }) => sum
        + value(one, "jobs_settled_total", labels) - value(before, "jobs_settled_total", labels), 0);
      bars.push(growth / Math.max(0.5, (one.at - before.at) / 1000));
    }
  }
  const most = Math.max(...bars, 1);
  const begin = Math.max(0, bars.findIndex((bar) => bar !== null));
  const points = bars.slice(begin).map((bar, index) => `${begin + index},${(30 - (28 * (bar ?? 0)) / most).toFixed(1)}`);
  return h("svg", { class: "spark", viewBox: "0 0 119 30", preserveAspectRatio: "none", "aria-hidden": "true" },
    h("line", { class: "floor", x1: 0, y1: 30, x2: 119, y2: 30 }),
    h("path", { class: "under", d: `M${begin},30 L${points.join(" ")} L119,30 Z` }),
    h("path", { class: "curve", d: `M${points.join(" ")}` }));
}

function successShare(settled) {
  const good = ["succeeded", "found", "signed"];
  const share = (samples) => {
    const total = samples.reduce((sum, sample) => sum + sample.value, 0);
    const won = samples.filter((sample) => good.includes(sample.labels.result))
      .reduce((sum, sample) => sum + sample.value, 0);
    return total > 0 ? [won / total, total] : null;
  };
  const newest = share(lately("jobs_settled_total", settled));
  const found = newest ?? share(settled);
  if (!found) return ["–"];
  // Never rounded up to all.
  const text = found[0] === 1 ? "100 %" : `${(Math.floor(found[0] * 1000) / 10).toFixed(1)} %`;
  return [text, h("small", {}, ` of ${count(found[1])}, ${newest ? windowName() : "since start"}`)];
}

function latency(term, found) {
  if (!found) return [];
  const [p50, p95, p99] = found.text;
  const [own, unit] = [p50, p95, p99].map((one) => one.split(" ").at(-1));
  const same = own === unit && p99.endsWith(` ${own}`);
  const bare = (one) => (same ? one.replace(` ${own}`, "") : one);
  return pair(term, h("span", { class: "whole" }, `≤ ${bare(p50)} · ${bare(p95)} · ${p99}`), found.lately ? null : h("small", {}, " since start"));
}

function kindCard(status, kind) {
  const settled = samplesOf(status, "jobs_settled_total", { kind });
  const received = samplesOf(status, "jobs_received_total", { kind });
  const deferrals = samplesOf(status, "deferrals_total", { kind });
  const gauge = (family) => value(kept.at(-1), family, { kind });
  const unsettled = gauge("unsettled");
  const rateNow = rate("jobs_settled_total", settled.map((sample) => sample.labels));
  const putOff = breakdown(lately("deferrals_total", deferrals), "reason");
  const inAll = (samples) => samples.reduce((sum, sample) => sum + sample.value, 0);
  const apps = new Set(received.map((sample) => sample.labels.app));
  const perApp = status.apps.length > 1 ? [...apps].sort().map((app) => {
    const own = settled.filter((sample) => sample.labels.app === app);
    return h("div", {}, `${app}: ${perSecond(rate("jobs_settled_total", own.map((sample) => sample.labels)))}/s; ${breakdown(own, "result") || "none settled"}`);
  }) : [];
  const others = [["duplicates_total", "duplicates"], ["conflicts_total", "conflicts"], ["set_aside_total", "set aside"]]
    .map(([family, word]) => [gauge(family), word]).filter(([total]) => total > 0)
    .map(([total, word]) => `${count(total)} ${word}`);
  const totals = [`${count(inAll(received))} received`, breakdown(settled, "result"), ...others];
  return h("article", { class: "card", key: kind, "aria-labelledby": `kind-${kind}` },
    h("header", {}, h("h3", { id: `kind-${kind}` }, spaced(kind)),
      h("p", { class: "big" }, perSecond(rateNow), h("small", {}, " settled per s"))),
    spark(settled),
    h("dl", {},
      pair("In flight", count(gauge("in_flight"))),
      pair(kind === "query" ? "Found" : "Succeeded", ...successShare(settled)),
      pair("Put off", putOff || "none", h("small", {}, ` ${windowName()}`)),
      unsettled > 0 ? pair("Without outcome", count(unsettled), h("small", {}, `; the oldest of all kinds ${length(status.unsettled_oldest_s * 1000)}`)) : [],
      latency("Job p50 · 95 · 99", quantiles("job_duration_seconds", { kind })),
      latency("Call p50 · 95 · 99", METHODS[kind] ? quantiles("gateway_request_duration_seconds", { method: METHODS[kind] }) : null)),
    h("div", { class: "below" }, h("div", {}, `Since start: ${totals.filter(Boolean).join(", ")}`), ...perApp));
}

function showKinds(status) {
  const families = ["jobs_received_total", "jobs_settled_total", "unsettled", "in_flight"];
  const isSeen = (kind) => families.some((family) => samplesOf(status, family, { kind }).length);
  const cards = status.kinds.filter(isSeen).map((kind) => kindCard(status, kind));
  show("kinds", cards.length ? cards : h("p", { class: "empty" }, "No job has come since this process started."));
}

function breaker(app) {
  if (!app.open) return [h("span", { class: "well-text" }, "calls are made")];
  const why = app.open === "blocked"
    ? `blocked${app.said ? `: Alipay says ${app.said}` : ""}`
    : "Alipay is not reached";
  return [h("span", { class: "bad-text" }, why), app.since ? h("small", {}, " since ", when(app.since)) : null];
}

function appCard(status, app) {
  const calls = samplesOf(status, "gateway_requests_total", { app: app.name });
  const rates = Object.entries(METHODS).map(([kind, method]) => {
    const own = calls.filter((sample) => sample.labels.method === method);
    return [rate("gateway_requests_total", own.map((sample) => sample.labels)), kind];
  }).filter(([now]) => now > 0).map(([now, kind]) => `${perSecond(now)}/s ${kind}`);
  const verdicts = breakdown(lately("gateway_requests_total", calls), "verdict");
  return h("article", { class: app.open || app.rate_failing ? "card trouble" : "card", key: `app ${app.name}`, "aria-labelledby": `app-${app.name}` },
    h("header", {}, h("h3", { id: `app-${app.name}` }, app.name)),
    h("dl", {},
      pair("Breaker", ...breaker(app)),
      pair("Calls now", rates.join(", ") || "none"),
      pair("Rate limit", `${count(app.requests_per_second)}/s`, h("small", {}, " per method, all replicas"),
        app.rate_failing ? h("span", { class: "bad-text" }, " cannot be booked") : null),
      pair("In flight", `${count(app.in_flight)} of ${count(app.limit)}`),
      pair("Wait for a permit", count(app.waiting)),
      pair("Verdicts", verdicts || "none", h("small", {}, ` ${windowName()}`))),
    h("div", { class: "below" }, `Since start: ${breakdown(calls, "verdict") || "no call"}`));
}

function showApps(status) {
  const servers = h("article", { class: status.servers.every((one) => one.connected) ? "card" : "card trouble", key: "servers", "aria-labelledby": "servers-title" },
    h("header", {}, h("h3", { id: "servers-title" }, "Servers")),
    h("dl", {}, status.servers.map((one) => pair(one.name,
      h("span", { class: one.connected ? "well-text" : "bad-text" }, one.connected ? "connected" : "away"),
      one.since ? h("small", {}, " since ", when(one.since)) : null))));
  show("apps", ...status.apps.map((app) => appCard(status, app)), servers);
}

let outcomes = [];

function showOutcomes(status) {
  const fresh = status.outcomes.map((one) => ({ ...one, started_at: status.started_at }));
  outcomes = [...fresh, ...outcomes].slice(0, OUTCOMES_MAX);
  const several = status.apps.length > 1;
  const rows = outcomes.map((one) => h("tr", { key: `${one.started_at} ${one.sequence}` },
    h("td", { class: "time" }, when(one.at)),
    h("td", {}, h("button", { type: "button", class: "plain", "data-number": one.number, "data-app": one.app }, one.number),
      several ? h("small", { class: "soft" }, ` ${one.app}`) : null),
    h("td", { class: "wide" }, spaced(one.kind)),
    h("td", { class: "number" }, one.amount),
    h("td", { class: { succeeded: "", signed: "", failed: "bad-text" }[one.result] ?? "warn-text" },
      one.result, one.code ? h("code", {}, ` ${one.code}`) : null),
    h("td", { class: "number wide" }, count(one.calls)),
    h("td", { class: "number wide" }, one.took_ms === null ? "–" : length(one.took_ms))));
  show("outcomes", rows.length ? rows : h("tr", {}, h("td", { colspan: 7, class: "empty" }, "None since this process started.")));
}

function showIncidents(status) {
  const rows = status.incidents.map((one) => h("li", { class: one.level, key: `${one.at} ${one.text}` },
    when(one.at), one.level === "trouble" ? h("span", { class: "unseen" }, "Trouble: ") : null, one.text));
  show("incidents", rows.length ? rows : h("li", { class: "empty" }, "None since this process started."));
}

function showCodes(status) {
  const samples = samplesOf(status, "gateway_codes_total");
  const rows = samples.sort((one, other) => other.value - one.value).map((sample) => {
    const { code, sub_code: sub, method } = sample.labels;
    const kind = Object.keys(METHODS).find((one) => METHODS[one] === method) ?? method;
    const words = code === "none" ? "no readable answer" : [code, sub === "none" ? null : sub].filter(Boolean).join(" ");
    const meaning = status.meanings[sub] ?? status.meanings[code] ?? "";
    return h("tr", { key: `${method} ${code} ${sub}` },
      h("td", {}, h("code", {}, words)), h("td", {}, kind),
      h("td", { class: "number" }, count(grew("gateway_codes_total", sample.labels))),
      h("td", { class: "number" }, count(sample.value)), h("td", { class: "wide" }, meaning));
  });
  show("codes", rows.length ? rows : h("tr", {}, h("td", { colspan: 5, class: "empty" }, "No call was made since this process started.")));
}

function showSearchApps(status) {
  const several = status.apps.length > 1;
  $("search-app-part").hidden = !several;
  if (several) show("search-app", status.apps.map((app) => h("option", { value: app.name, key: app.name }, app.name)));
}

function showAll(status) {
  keep(status);
  for (const part of [showHead, showKinds, showApps, showOutcomes, showIncidents, showCodes, showSearchApps]) part(status);
  $("board").hidden = false;
}

// ------------------------------------------------------------------------------- the life of a job

const GOOD = ["succeeded", "found", "signed"];
const BAD = ["failed", "blocked"];

function levelOf(word) {
  if (GOOD.includes(word)) return "well";
  return BAD.includes(word) ? "trouble" : "notice";
}

/** Everything that is known of a job, in the order of time. */
function events(facts, history) {
  const list = [];
  const add = (iso, what, level, more) => list.push({ at: Date.parse(iso), what, level, more });
  if (facts.first_seen_at) add(facts.first_seen_at, "First claimed", "notice");
  for (const call of history) {
    const codes = [call.code, call.sub_code].filter(Boolean).join(" ");
    add(call.at, `Call ${call.number}, ${call.call}: ${spaced(call.verdict)}`, levelOf(call.verdict),
      `${codes ? `${codes}; ` : ""}took ${length(call.duration_ms)}, by ${call.replica}`);
  }
  list.sort((one, other) => one.at - other.at);
  if (facts.state === "in flight") {
    add(facts.lease_expires_at, facts.lease === "held" ? "A process works on it, and holds it until then" : "Whoever held it has let it lie since then; it is taken over", "notice");
  }
  if (facts.state === "deferred") add(facts.next_try_at, `Next try ${facts.next_try}`, "notice");
  if (facts.state === "settled") {
    const calls = facts.calls === 1 ? "after 1 call" : `after ${facts.calls} calls`;
    const why = [facts.sub_code ?? facts.code ?? facts.reason ?? facts.status, facts.display_message].filter(Boolean).join(": ");
    const silent = !history.length && facts.calls > 1 ? "its calls are not remembered any more" : null;
    add(facts.settled_at, `Settled: ${facts.result}, ${calls}`, levelOf(facts.result), [why, silent].filter(Boolean).join("; "));
  }
  return list;
}

function showLife(number, answer) {
  const close = h("button", { type: "button", class: "plain", id: "life-close" }, "Close");
  const head = (...words) => h("header", {}, h("h2", {}, ...words), close);
  if (answer.error) show("life", head(number), h("p", { class: "bad-text" }, answer.error));
  else if (!answer.found) {
    show("life", head(number), h("p", {}, `The ledger knows no such job of app ${answer.app}: it never came, or it was settled longer ago than the ledger remembers.`));
  } else {
    const facts = Object.fromEntries(answer.facts);
    const steps = events(facts, answer.history).map((one) => h("li", { class: one.level },
      when(one.at), h("p", { class: "what" }, one.what), one.more ? h("p", { class: "soft" }, one.more) : null));
    const text = (fact) => (fact === null ? "–" : typeof fact === "object" ? JSON.stringify(fact) : String(fact));
    show("life", head(number, h("span", { class: "soft" }, ` ${facts.app} · ${spaced(facts.kind ?? "")} · ${facts.amount ?? ""}`)),
      h("ol", { class: "timeline" }, steps),
      h("details", {}, h("summary", {}, "All that the ledger holds"),
        h("dl", {}, answer.facts.flatMap(([term, fact]) => pair(spaced(term), text(fact))))));
  }
  $("life").hidden = false;
  $("life").focus();
}

async function search(number, app) {
  const query = app ? `?app=${encodeURIComponent(app)}` : "";
  try {
    const [code, answer] = await ask(`/api/jobs/${encodeURIComponent(number)}${query}`);
    if (code === 401) wantToken("That is not the token any more.");
    else showLife(number, answer);
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    showLife(number, { error: "The daemon did not answer." });
  }
}

$("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  search($("search").value.trim(), $("search-app").value);
});

document.addEventListener("click", (event) => {
  const { number, app } = event.target.dataset ?? {};
  if (number) {
    $("search").value = number;
    if (!$("search-app-part").hidden) $("search-app").value = app;
    search(number, app);
  }
  if (event.target.id === "life-close") {
    $("life").hidden = true;
    $("search").focus();
  }
});

// ----------------------------------------------------------------------------- asking, and the token

let token = null;
let awaySince = null;
let lastAt = 0;
let timer = null;
let polling = false;

function session(write) {
  try {
    return write(sessionStorage);
  } catch {
    return null; // A browser that keeps nothing: the token lives as long as the page.
  }
}

class NoAnswer extends Error {}

/** The status and the body of an answer; throws NoAnswer if there is none. */
async function ask(path) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const signal = AbortSignal.timeout(ANSWER_MS_MAX);
  try {
    const response = await fetch(path, { headers, cache: "no-store", signal });
    const isJson = response.headers.get("content-type") === "application/json";
    return [response.status, isJson ? await response.json() : null];
  } catch {
    throw new NoAnswer();
  }
}

function live(text, state) {
  show("live", text);
  $("live").className = state ?? "soft";
  document.body.classList.toggle("stale", state === "away");
}

function wantToken(said) {
  token = null;
  session((storage) => storage.removeItem(TOKEN_KEY));
  $("board").hidden = true;
  $("token-form").hidden = false;
  show("token-said", said);
  show("headline");
  live("");
  $("token").focus();
}

function away() {
  awaySince ??= Date.now();
  live(`no answer since ${clock(lastAt || awaySince)}`, "away");
  show("headline", h("li", { class: "trouble" },
    h("p", { class: "said" }, "The daemon does not answer", h("span", { class: "since" }, " since ", when(awaySince))),
    h("p", { class: "advice" }, "It has stopped, or the way to it is cut. What is below is how it stood before. This page tries again every second; jobs that were under way are taken over by other replicas, or by this one once it is back.")));
  document.title = "! no answer · hongbaod";
}

async function poll() {
  if (polling) return;
  clearTimeout(timer);
  if (document.hidden) {
    live("paused while hidden", "paused");
    return;
  }
  polling = true;
  let wait = EVERY_MS;
  try {
    const [code, status] = await ask(`/api/status?after=${outcomes[0]?.sequence ?? 0}`);
    if (code === 401) {
      wait = null;
      wantToken(token ? "That is not the token." : "");
      return;
    }
    if (code !== 200) throw new NoAnswer();
    // A process that has started anew counts its outcomes from 1 again: asked for all at once.
    if (outcomes.length && outcomes[0].started_at !== status.started_at) {
      outcomes = [];
      status.outcomes = [];
      wait = 0;
    }
    awaySince = null;
    lastAt = Date.now();
    showAll(status);
    live(`live, ${clock(status.now)}`);
  } catch (error) {
    // A mistake of this page is not the daemon's silence, and is to be seen.
    if (!(error instanceof NoAnswer)) throw error;
    away();
  } finally {
    polling = false;
    if (wait !== null) timer = setTimeout(poll, wait);
  }
}

document.addEventListener("visibilitychange", poll);

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  session((storage) => storage.setItem(TOKEN_KEY, token));
  $("token").value = "";
  $("token-form").hidden = true;
  show("token-said", "");
  poll();
});

token = session((storage) => storage.getItem(TOKEN_KEY));
if (document.documentElement.dataset.token === "needed" && !token) wantToken("");
else poll();
