// The requests of clients, the newest first, each with what is to be said about it.
import { $, badge, call, count, node, utc } from "/__emulator/page/tools.js";

const MOST = 200;
const BASE = "/data/foundation/flowservice";
const KINDS = { ok: "good", warning: "warn", violation: "bad", injected: "other", failed: "bad" };
const WORDS = { ok: "ok", warning: "warning", violation: "refused", injected: "injected fault", failed: "emulator failed" };
const FOUND = { violation: "refused", warning: "with a warning", injected: "injected fault", failed: "emulator failed" };

let seen = 0, stale = false;

function findingBox(finding, index, findings) {
  const kind = finding.severity === "warning" ? "warn" : "";
  const place = finding.place && !finding.message.includes(finding.place) ? `${finding.place}: ` : "";
  return node("div", { class: `finding ${kind}` },
    node("p", {}, place + finding.message),
    finding.fix && findings[index + 1]?.fix !== finding.fix ? node("p", { class: "quiet" }, finding.fix) : null,
    node("p", { class: "quiet" }, "Rule ", node("code", {}, finding.rule)));
}

// Headers and body of what was sent or answered. The journal has the headers with their secrets masked.
function partBox(name, part, number) {
  const headers = Object.entries(part.headers ?? {}).map(([header, value]) => `${header}: ${value}`).join("\n");
  const body = part.body === undefined ? part.text : JSON.stringify(part.body, null, 2);
  const text = [headers, body].filter(Boolean).join("\n\n");
  return text ? node("details", {}, node("summary", {}, name), node("pre", { tabindex: "0", role: "region", "aria-label": `${name}, request ${number}` }, text)) : null;
}

function requestItem(entry) {
  const bad = entry.status === 0 || entry.status >= 400;
  const fault = entry.fault ? node("div", { class: "finding other" }, node("p", {}, "Hit by the fault rule ", node("code", {}, entry.fault), ", not the client's doing.")) : null;
  const query = entry.query ? `?${entry.query}` : "";
  return node("li", { class: `request ${entry.verdict}`, value: entry.number },
    node("div", { class: "line" },
      node("span", { class: "quiet" }, `#${entry.number}`),
      node("time", { datetime: new Date(entry.at * 1000).toISOString() }, utc(entry.at * 1000).slice(5)),
      node("span", { class: `status ${bad ? "bad" : "good"}` }, entry.status === 0 ? "no answer" : String(entry.status)),
      node("span", { class: "mono path", title: entry.path + query }, `${entry.method} ${entry.path.startsWith(BASE) ? entry.path.slice(BASE.length) : entry.path}${query}`),
      badge(KINDS[entry.verdict] ?? "", WORDS[entry.verdict] ?? entry.verdict),
      node("span", { class: "quiet" }, `${entry.durationMs.toFixed(1)} ms`)),
    fault, ...entry.findings.map(findingBox),
    ...(entry.verdict === "ok" ? [] : [partBox("What was sent", entry.request, entry.number), partBox("What was answered", entry.answer, entry.number)]));
}

const wantedVerdicts = () => $("verdicts").value.split(" ").filter(Boolean);

// The newest entries after number `since`, oldest first, and the number of the newest request.
async function newEntries(verdicts, since) {
  const filters = verdicts.length ? verdicts.map((verdict) => `&verdict=${verdict}`) : [""];
  const answers = [];
  for (const filter of filters) answers.push(await call("GET", `/requests?since=${since}&limit=${MOST}${filter}`));
  const number = Math.min(...answers.map((answer) => answer.number)); // a later answer may know more, for the next time
  const items = answers.flatMap((answer) => answer.items).filter((entry) => entry.number <= number);
  return { number, items: items.sort((one, other) => one.number - other.number).slice(-MOST) };
}

export async function showRequests(data) {
  const list = $("request-list"), verdicts = wantedVerdicts();
  if (stale || data.counts.requests !== seen) {
    const found = await newEntries(verdicts, stale ? 0 : seen);
    if (wantedVerdicts().join() !== verdicts.join()) return; // chosen again meanwhile: the next question is on its way
    if (stale) list.replaceChildren();
    stale = false;
    seen = found.number;
    for (const entry of found.items) list.prepend(requestItem(entry));
    while (list.children.length > MOST) list.lastElementChild.remove();
  }
  const words = Object.keys(FOUND).filter((name) => data.verdicts[name]).map((name) => `${count(data.verdicts[name])} ${FOUND[name]}`);
  $("requests-count").textContent = data.counts.requests ? [count(data.counts.requests), ...words].join(", ") : "";
  showHowMany(data, verdicts, list.children.length);
}

// Says when there are more requests than the list has.
function showHowMany(data, verdicts, listed) {
  const all = verdicts.length ? verdicts.reduce((sum, verdict) => sum + data.verdicts[verdict], 0) : data.counts.requests;
  const newest = all > listed && listed ? `The newest ${count(listed)} of ${count(all)} are shown.` : "";
  const gone = data.counts.journal < data.counts.requests ? ` The journal has only the newest ${count(data.counts.journal)} of all requests.` : "";
  $("requests-more").textContent = newest + (all > listed ? gone : "");
  $("requests-empty").hidden = data.counts.requests > 0;
  $("requests-none").hidden = !data.counts.requests || listed > 0;
}

// The list is to be made again at the next answer.
export function forgetRequests() {
  stale = true;
}
