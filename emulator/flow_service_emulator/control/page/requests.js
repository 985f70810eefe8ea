// The requests of clients, the newest first: a line for each, which opens to all that was sent, answered and found.
import { $, badge, call, count, hide, node, utc } from "/__emulator/page/tools.js";

const FEW = 20, STEP = 50, MOST = 200;
const BASE = "/data/foundation/flowservice";
const KINDS = { ok: "good", warning: "warn", violation: "bad", injected: "other", failed: "bad" };
const WORDS = { ok: "ok", warning: "warning", violation: "refused", injected: "injected fault", failed: "emulator failed" };
const FOUND = { violation: "refused", warning: "with a warning", injected: "injected fault", failed: "emulator failed" };

let seen = 0, stale = false, shown = FEW;

const wanted = () => ({ verdicts: $("verdicts").value.split(" ").filter(Boolean), text: $("request-text").value.trim() });
const place = (finding) => (finding.place && !finding.message.includes(finding.place) ? `${finding.place}: ` : "");

function findingBox(finding, index, findings) {
  return node("div", { class: `finding ${finding.severity === "warning" ? "warn" : ""}` },
    node("p", {}, place(finding) + finding.message),
    finding.fix && findings[index + 1]?.fix !== finding.fix ? node("p", { class: "quiet" }, finding.fix) : null,
    node("p", { class: "quiet" }, "Rule ", node("code", {}, finding.rule)));
}

// Headers and body of what was sent or answered. The journal has the headers with their secrets masked.
function partBox(name, part, number) {
  const headers = Object.entries(part.headers ?? {}).map(([header, value]) => `${header}: ${value}`).join("\n");
  const body = part.body === undefined ? part.text ?? part.unread : JSON.stringify(part.body, null, 2);
  const text = [headers, body].filter(Boolean).join("\n\n") || "nothing";
  return [node("h3", {}, name), node("pre", { tabindex: "0", role: "region", "aria-label": `${name}, request ${number}` }, text)];
}

function opened(entry) {
  return node("div", {},
    entry.fault ? node("div", { class: "finding other" }, node("p", {}, "Hit by the fault rule ", node("code", {}, entry.fault), ", not the client's doing.")) : null,
    ...entry.findings.map(findingBox),
    entry.hint ? node("p", { class: "hint" }, entry.hint) : null,
    ...partBox("What was sent", entry.request, entry.number), ...partBox("What was answered", entry.answer, entry.number));
}

// What a closed line says about a request that was not simply good.
function about(entry) {
  if (entry.fault) return `fault rule ${entry.fault}`;
  const [first, ...more] = entry.findings;
  return first ? `${place(first)}${first.message}${more.length ? ` (and ${more.length} more)` : ""}` : "";
}

function requestItem(entry) {
  const bad = entry.status === 0 || entry.status >= 400, query = entry.query ? `?${entry.query}` : "", said = about(entry);
  const box = node("details", { "data-key": entry.number },
    node("summary", { class: "line" },
      node("span", { class: "quiet" }, `#${entry.number}`),
      node("time", { datetime: new Date(entry.at * 1000).toISOString() }, utc(entry.at * 1000).slice(5)),
      node("span", { class: `status ${bad ? "bad" : "good"}` }, entry.status === 0 ? "no answer" : String(entry.status)),
      node("span", { class: "mono path", title: entry.path + query }, `${entry.method} ${entry.path.startsWith(BASE) ? entry.path.slice(BASE.length) : entry.path}${query}`),
      badge(KINDS[entry.verdict] ?? "", WORDS[entry.verdict] ?? entry.verdict),
      node("span", { class: "quiet" }, `${entry.durationMs.toFixed(1)} ms`),
      said ? node("span", { class: "about" }, said) : null));
  box.addEventListener("toggle", () => box.append(opened(entry)), { once: true }); // of 200 requests hardly any is opened
  return node("li", { class: `request ${entry.verdict}`, value: entry.number }, box);
}

// The newest entries after number `since`, oldest first, and the number of the newest request.
async function newEntries({ verdicts, text }, since) {
  const filters = verdicts.length ? verdicts.map((verdict) => `&verdict=${verdict}`) : [""];
  const answers = [];
  for (const filter of filters) answers.push(await call("GET", `/requests?since=${since}&limit=${MOST}${filter}${text ? `&text=${encodeURIComponent(text)}` : ""}`));
  const number = Math.min(...answers.map((answer) => answer.number)); // a later answer may know more, for the next time
  const items = answers.flatMap((answer) => answer.items).filter((entry) => entry.number <= number);
  return { number, items: items.sort((one, other) => one.number - other.number).slice(-MOST) };
}

export async function showRequests(data) {
  const list = $("request-list"), filter = wanted();
  if (stale || data.counts.requests !== seen) {
    const found = await newEntries(filter, stale ? 0 : seen);
    if (JSON.stringify(wanted()) !== JSON.stringify(filter)) return; // chosen again meanwhile: the next question is on its way
    if (stale) list.replaceChildren();
    stale = false;
    seen = found.number;
    list.prepend(...found.items.reverse().map(requestItem));
    while (list.children.length > MOST) list.lastElementChild.remove();
  }
  const words = Object.keys(FOUND).filter((name) => data.verdicts[name]).map((name) => `${count(data.verdicts[name])} ${FOUND[name]}`);
  $("requests-count").textContent = data.counts.requests ? [count(data.counts.requests), ...words].join(", ") : "";
  showHowMany(data, filter);
}

// Folds all but the newest, and says when there are more requests than the list has.
function showHowMany(data, { verdicts, text }) {
  const items = [...$("request-list").children], listed = items.length;
  items.forEach((item, index) => (item.hidden = index >= shown));
  hide($("requests-more"), listed <= shown);
  $("requests-more").textContent = `Show ${Math.min(STEP, listed - shown)} more`;
  const all = verdicts.length ? verdicts.reduce((sum, verdict) => sum + data.verdicts[verdict], 0) : data.counts.requests;
  const newest = text ? listed === MOST ? `The newest ${MOST} are shown.` : "" : all > listed && listed ? `The newest ${count(listed)} of ${count(all)} are shown.` : "";
  const gone = data.counts.journal < data.counts.requests ? ` The journal has only the newest ${count(data.counts.journal)} of all requests.` : "";
  $("requests-note").textContent = newest + (all > listed ? gone : "");
  $("requests-empty").hidden = data.counts.requests > 0;
  $("requests-none").hidden = !data.counts.requests || listed > 0;
}

export function showMoreRequests(data) {
  const first = $("request-list").children[shown]?.querySelector("summary");
  shown += STEP;
  showHowMany(data, wanted());
  first?.focus();
}

// Looks for requests by verdict and by a text that they have in their path, query or bodies.
export function lookFor(verdicts, text) {
  $("verdicts").value = verdicts;
  $("request-text").value = text;
  forgetRequests();
}

// The list is to be made again at the next answer.
export function forgetRequests() {
  stale = true;
  shown = FEW;
}
