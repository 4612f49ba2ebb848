"use strict";

const ASK_EVERY = 2000; // ms
const GIVE_UP = 5000;
const STALE_AFTER = 6000;

const at = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
let answered = performance.now();
let spoken = "";

const text = (node, words) => {
  if (node.textContent !== words) node.textContent = words;
};

const element = (name, words = "", attributes = {}) => {
  const made = document.createElement(name);
  made.textContent = words;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

const mark = (words, state) => element("span", words, { class: "mark", "data-state": state });

const moment = (seconds) => element("time", clock.format(new Date(seconds * 1000)), { class: "t" });

// A name that may be broken after each of its parts.
const breakable = (name) => {
  const made = document.createElement("span");
  for (const part of name.split(/(?<=[._])/)) made.append(part, document.createElement("wbr"));
  return made;
};

// A cell is words, or a node; the first of a row names it, numbers stand to the right.
const row = (cells) => {
  const made = document.createElement("tr");
  cells.forEach((cell, place) => {
    const box = place ? element("td") : element("th", "", { scope: "row" });
    if (typeof cell === "number") box.className = "n";
    box.append(typeof cell === "number" ? number.format(cell) : cell);
    made.append(box);
  });
  return made;
};

const table = (id, rows, columns, none) => {
  const made = rows.map(row);
  if (!made.length) {
    const empty = document.createElement("tr");
    empty.append(element("td", none, { colspan: columns, class: "empty" }));
    made.push(empty);
  }
  at(id).replaceChildren(...made);
};

const pairs = (id, rows) =>
  at(id).replaceChildren(...rows.flatMap(([name, words]) => [element("dt", name), element("dd", words)]));

const spark = (values, words) => {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words);
  if (values.length > 1) {
    const most = Math.max(...values, 1);
    const line = document.createElementNS(space, "polyline");
    const points = values.map((v, i) => `${(100 * i) / (values.length - 1)},${18.5 - (17 * v) / most}`);
    line.setAttribute("points", points.join(" "));
    svg.append(line);
  }
  return svg;
};

const span = (seconds) => {
  if (seconds === null) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 120) return `${Number(seconds.toPrecision(3))} s`.replace(/(\.\d)\d* s/, "$1 s");
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
};

const listed = (counts) =>
  Object.entries(counts).filter(([, count]) => count).map(([name, count]) => `${name} ${number.format(count)}`).join(", ");

const DETECTOR = { fine: "ok", failing: "warn", "left alone": "bad" };
const ACTION = { escalate: "bad", review: "warn" };
const words = (name) => name.replaceAll("_", " ");

function show(now) {
  const line = at("line");
  line.dataset.state = now.state;
  text(at("headline"), now.headline);
  at("reasons").replaceChildren(...now.reasons.slice(1).map((reason) => element("li", reason.words)));
  // Spoken when it changes, not with every new figure.
  const kind = now.state === "ok" ? "Everything is well" : now.headline;
  if (now.state !== spoken) text(at("spoken"), kind);
  spoken = now.state;
  document.title = `${{ ok: "✓", warn: "!", bad: "✗" }[now.state]} Penjaga`;

  text(at("rate"), number.format(Math.round(now.per_second)));
  at("rate-spark").replaceChildren(spark(now.rates, "Messages a second over five minutes"));
  text(at("waiting"), number.format(now.waiting));
  text(at("waiting-note"), listed(now.lag) || (Object.keys(now.lag).length ? "everything read is confirmed" : "nothing assigned yet"));
  text(at("delay"), span(now.delay_p50));
  text(at("delay-note"), now.delay_p99 === null ? "no escalation of late" : `half within this, 99 % within ${span(now.delay_p99)}`);
  const rejected = Object.values(now.rejected).reduce((a, b) => a + b, 0);
  text(at("rejected"), number.format(rejected));
  text(at("rejected-note"), listed(now.rejected) || `of ${number.format(now.received)} read`);

  table("labels", now.labels.map((one) => [
    breakable(one.label), spark(one.series, `${one.label} over five minutes`), one.recent, one.total,
  ]), 4, "No verdict since the start.");
  table("recent", now.recent.map((one) => [
    moment(one.at), mark(one.action, ACTION[one.action]), breakable(one.label),
    one.score.toFixed(2), one.found_by.map(words).join(", "), one.where,
  ]), 6, "No escalation since the start.");
  table("detectors", now.detectors.map((one) => [
    words(one.name), mark(one.is_isolated ? `${one.state}, isolated` : one.state, DETECTOR[one.state]),
    one.findings, one.failures, one.overruns,
  ]), 5, "None installed.");
  table("feeds", now.feeds.map((one) => [
    one.name, mark(one.outcome || "never", one.is_stale ? "warn" : "ok"), one.entries,
    one.age_seconds === null ? "never" : `${span(one.age_seconds)} ago`,
  ]), 4, "None configured.");
  pairs("memory", now.memory.store === "off" ? [["Store", "off"]] : [
    ["Store", now.memory.store],
    ["Signals a second", number.format(Math.round(now.memory.signals_per_second))],
    ["Levels crossed", words(listed(now.memory.crossings)) || "none since the start"],
    ["Last recovery", span(now.memory.recovery_seconds)],
  ]);
  pairs("worker", [
    ["Version", now.version],
    ["Configuration", now.configuration],
    ["Recent means", `the last ${span(now.watched_seconds)}`],
    ["Reads", now.sources.join(", ")],
    ["Read, passed, flagged", [now.received, now.passed, now.flagged].map(number.format).join(", ")],
    ["Canary", now.canary_seconds === null ? "not seen since the start" : `seen ${span(now.canary_seconds)} ago`],
    ...now.processes.map((one) => [
      `Process ${one.number}`,
      `${one.is_alive ? "runs" : "does not answer"}, pid ${one.pid}, ${one.partitions} partitions`,
    ]),
  ]);
}

async function ask() {
  if (!document.hidden) {
    try {
      const answer = await fetch("status.json", { signal: AbortSignal.timeout(GIVE_UP), cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.json());
      answered = performance.now();
    } catch {
      // Said below, by how long ago the last answer was.
    }
  }
  setTimeout(ask, ASK_EVERY);
}

setInterval(() => {
  const silent = performance.now() - answered;
  const isStale = silent > STALE_AFTER && !document.hidden;
  document.body.classList.toggle("stale", isStale);
  text(at("contact"), isStale ? `No answer for ${Math.round(silent / 1000)} s: is the worker running? The figures below are old.` : "");
  if (isStale) at("line").dataset.state = "none";
}, 1000);

ask();
