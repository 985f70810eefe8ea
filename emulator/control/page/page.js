// The page for people: asks the control calls every two seconds and shows what they answer. Text is only ever set as text.
import { draw, utc } from "/__emulator/picture.js";

const CONTROL = "/__emulator", POLL = 2000, PATIENCE = 10000, FEW_FLOWS = 12, FEW_FILES = 6, MOST_REQUESTS = 200;
const BASE = "/data/foundation/flowservice";
const KINDS = { ok: "good", remark: "warn", violation: "bad", injected: "other", failed: "bad" };
const WORDS = { ok: "ok", remark: "remark", violation: "refused", injected: "injected fault", failed: "emulator failed" };
const $ = (id) => document.getElementById(id);
const count = (number) => number.toLocaleString("en");
const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

let data = null, scenarios = [], seen = 0, allFlows = false, allFiles = false, asking = Promise.resolve(), timer = 0, answeredAt = 0, busy = false;
const shown = new Map(), verdicts = {};

// --- small tools ---------------------------------------------------------------------------------------------------

function node(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

const badge = (kind, text) => node("span", { class: `badge ${kind}` }, text);
const stamp = (ms) => node("time", { datetime: new Date(ms).toISOString() }, `${utc(ms)} UTC`);

function size(bytes) {
  if (bytes < 1000) return many(bytes, "byte");
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function lasting(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  let left = Math.max(0, Math.round(seconds));
  const words = [];
  for (const [unit, name] of parts) {
    if (left >= unit && words.length < 2) words.push(`${Math.floor(left / unit)} ${name}`);
    left %= unit;
  }
  return words.join(" ") || "a moment";
}

// Shows a part anew only when what it shows has changed, and leaves the focus where it was.
function render(box, of, build) {
  const key = JSON.stringify(of);
  if (shown.get(box.id) === key) return;
  shown.set(box.id, key);
  const focused = box.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  box.replaceChildren(...build());
  if (focused) [...box.querySelectorAll("[data-key]")].find((each) => each.dataset.key === focused)?.focus();
}

async function call(method, path, body) {
  const signal = method === "GET" ? AbortSignal.timeout(PATIENCE) : undefined;
  const answer = await fetch(CONTROL + path, { method, signal, body: body === undefined ? undefined : JSON.stringify(body), headers: body === undefined ? {} : { "Content-Type": "application/json" } });
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(value.detail ?? value.errorMessage ?? `the answer was ${answer.status}`);
  return value;
}

function tell(text, bad = false) {
  $("told").textContent = text;
  $("told").classList.toggle("bad", bad);
}

// Does what a button asks for, one thing at a time, says how it went, and shows it.
async function act(button, doing, action) {
  if (busy || button.getAttribute("aria-disabled") === "true") return;
  busy = true;
  tell(doing);
  try {
    tell(await action());
  } catch (fault) {
    tell(`That did not work: ${fault.message}`, true);
  }
  busy = false;
  await poll();
}

// --- the parts -----------------------------------------------------------------------------------------------------

function present() {
  return data.clock.now + ((performance.now() - answeredAt) / 1000) * data.clock.speed;
}

function showClock() {
  if (!data) return;
  const ms = Math.floor(present()) * 1000, frozen = data.clock.mode === "frozen";
  $("now").textContent = `${utc(ms)} UTC`;
  $("now").dateTime = new Date(ms).toISOString();
  $("mode").textContent = data.clock.mode === "accelerated" ? `${data.clock.speed} times as fast` : frozen ? "frozen" : "real time";
  $("mode").className = `badge ${frozen ? "warn" : "good"}`;
  $("freeze").textContent = frozen ? "Let it run" : "Freeze";
  $("to-next").setAttribute("aria-disabled", String(data.next === null));
}

function schedule(flow) {
  const { interval, timeUnit, startTime, endTime, exportMode } = flow.schedule;
  const often = interval === 0 ? "once" : interval === 1 ? `every ${timeUnit}` : `every ${interval} ${timeUnit}s`;
  const rows = exportMode === "DAILY_FULL_EXPORT" ? "all rows" : "all rows first, then new ones";
  return [`${often} from `, stamp(startTime * 1000), ...(endTime ? [" until ", stamp(endTime * 1000)] : []), `; ${rows}`];
}

function flowCard(flow, lastRun, now) {
  const next = flow.next === null ? ["none ahead"] : [stamp(flow.next * 1000), ` (${flow.next > now ? `in ${lasting(flow.next - now)}` : "due"})`];
  const last = lastRun ? [`${lastRun.status}, ${many(lastRun.rows, "row")}, `, stamp(lastRun.startedAt)] : ["not yet"];
  return node("li", {},
    node("div", { class: "head" }, node("h3", {}, flow.name || flow.id), badge(flow.state === "enabled" ? "good" : "warn", flow.state)),
    node("p", { class: "quiet" }, `${flow.org} · ${flow.sandbox}`),
    node("dl", {},
      node("dt", {}, "To"), node("dd", {}, flow.destination),
      node("dt", {}, "Datasets"), node("dd", {}, flow.datasets.map((each) => each.name).join(", ")),
      node("dt", {}, "Schedule"), node("dd", {}, ...schedule(flow)),
      node("dt", {}, "Next export"), node("dd", { class: "next" }, ...next),
      node("dt", {}, "Last run"), node("dd", {}, ...last)));
}

function showFlows() {
  const flows = allFlows ? data.flows : data.flows.slice(0, FEW_FLOWS), now = data.clock.now;
  const last = new Map();
  for (const run of data.runs) if (!last.has(run.flowId)) last.set(run.flowId, run);
  const minute = Math.floor(now / (data.clock.speed === 1 ? 10 : 1));
  render($("flow-list"), [flows, flows.map((flow) => last.get(flow.id)), minute], () => flows.map((flow) => flowCard(flow, last.get(flow.id), now)));
  $("flows-count").textContent = data.counts.flows ? count(data.counts.flows) : "";
  $("flows-empty").hidden = data.flows.length > 0;
  $("flows-more").hidden = data.flows.length <= flows.length;
  $("flows-more").textContent = `Show the newest ${data.flows.length}`;
}

function showRuns() {
  const names = new Map(data.flows.map((flow) => [flow.id, flow.name]));
  const drawn = data.runs.length > 0 || data.flows.some((flow) => flow.next !== null);
  const drawing = [data.runs, data.flows.map((flow) => [flow.name, flow.next]), Math.floor(data.clock.now / 60), $("picture").clientWidth];
  if (shown.get("picture") !== JSON.stringify(drawing)) draw($("picture"), data);
  shown.set("picture", JSON.stringify(drawing));
  $("runs-empty").hidden = drawn;
  $("legend").hidden = $("runs-details").hidden = !drawn;
  const more = data.counts.runs > data.runs.length ? `, the newest ${count(data.runs.length)} are shown` : "";
  $("runs-count").textContent = data.counts.runs ? count(data.counts.runs) + more : "";
  render($("run-rows"), [data.runs, [...names]], () => data.runs.map((run) => node("tr", {},
    node("td", {}, stamp(run.startedAt)),
    node("td", {}, names.get(run.flowId) ?? run.flowId),
    node("td", {}, badge({ success: "good", failed: "bad" }[run.status] ?? "warn", run.status)),
    node("td", { class: "number" }, count(run.rows)),
    node("td", { class: "number" }, count(run.fileCount)),
    node("td", {}, run.errors.map((error) => `${error.code}: ${error.message}`).join("; ")))));
}

function fileItem(file, flow) {
  const parts = file.path.split("/"), name = parts.pop();
  const href = `${CONTROL}/exports/${file.path.split("/").map(encodeURIComponent).join("/")}`;
  return node("li", { class: "file" },
    node("div", {}, node("div", { class: "path name" }, name), node("div", { class: "path quiet" }, parts.join("/")), node("div", { class: "quiet path" }, [flow, many(file.rows, "row"), size(file.size)].filter(Boolean).join(", "))),
    node("div", { class: "buttons" },
      node("button", { type: "button", "data-key": file.path, "aria-label": `Preview ${name}`, onclick: () => showPreview(file) }, "Preview"),
      node("a", { class: "button", href, download: name, "aria-label": `Download ${name}` }, "Download")));
}

function showFiles() {
  const files = allFiles ? data.files : data.files.slice(0, FEW_FILES), names = new Map(data.flows.map((flow) => [flow.id, flow.name]));
  render($("file-list"), [files, [...names]], () => files.map((file) => fileItem(file, names.get(file.flow))));
  $("files-more").hidden = data.files.length <= files.length;
  $("files-more").textContent = `Show all ${data.files.length}`;
  $("files-empty").hidden = data.files.length > 0;
  $("files-count").textContent = data.files.length ? `${data.files.length} of the newest runs` : "";
}

function cell(value) {
  return value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
}

const dataCell = (text) => node("td", { class: text.length > 40 ? "long" : "" }, text);

async function showPreview(file) {
  const parts = file.path.split("/");
  $("preview-title").textContent = parts.pop();
  $("preview-about").textContent = "Reading …";
  $("preview-rows").replaceChildren();
  $("preview").showModal();
  try {
    const found = await call("GET", `/previews/${file.path.split("/").map(encodeURIComponent).join("/")}?rows=20`);
    const { rows } = found;
    const columns = [...new Set(rows.flatMap(Object.keys))];
    $("preview-about").textContent = `${parts.join("/")}: ${found.more ? `the first ${rows.length} of ${many(file.rows, "row")}` : many(rows.length, "row")}, ${found.form}`;
    $("preview-rows").replaceChildren(node("table", {},
      node("thead", {}, node("tr", {}, ...columns.map((name) => node("th", { scope: "col" }, name)))),
      node("tbody", {}, ...rows.map((row) => node("tr", {}, ...columns.map((name) => dataCell(cell(row[name]))))))));
  } catch (fault) {
    $("preview-about").textContent = `That did not work: ${fault.message}`;
  }
}

function findingBox(finding, index, findings) {
  const kind = finding.severity === "remark" ? "warn" : "";
  const place = finding.place && !finding.message.includes(finding.place) ? `${finding.place}: ` : "";
  return node("div", { class: `finding ${kind}` },
    node("p", {}, place + finding.message),
    finding.mend && findings[index + 1]?.mend !== finding.mend ? node("p", { class: "quiet" }, finding.mend) : null,
    node("p", { class: "quiet" }, "Rule ", node("code", {}, finding.rule)));
}

function bodyBox(name, part) {
  const text = part.body === undefined ? part.text : JSON.stringify(part.body, null, 2);
  return text === undefined ? null : node("details", {}, node("summary", {}, name), node("pre", { tabindex: "0", role: "region", "aria-label": name }, text));
}

function requestItem(entry) {
  const bad = entry.status === 0 || entry.status >= 400;
  const fault = entry.fault ? node("div", { class: "finding other" }, node("p", {}, "Hit by the fault rule ", node("code", {}, entry.fault), ", not the client's doing.")) : null;
  const query = entry.query ? `?${entry.query}` : "";
  return node("li", { class: `request ${entry.verdict}`, value: entry.number },
    node("div", { class: "line" },
      node("time", { datetime: new Date(entry.at * 1000).toISOString() }, utc(entry.at * 1000).slice(5)),
      node("span", { class: `status ${bad ? "bad" : "good"}` }, entry.status === 0 ? "no answer" : String(entry.status)),
      node("span", { class: "mono path", title: entry.path + query }, `${entry.method} ${entry.path.startsWith(BASE) ? entry.path.slice(BASE.length) : entry.path}${query}`),
      badge(KINDS[entry.verdict] ?? "", WORDS[entry.verdict] ?? entry.verdict),
      node("span", { class: "quiet" }, `${entry.durationMs.toFixed(1)} ms`)),
    ...(fault ? [fault] : []), ...entry.findings.map(findingBox),
    ...(entry.verdict === "ok" ? [] : [bodyBox("What was sent", entry.request), bodyBox("What was answered", entry.answer)]));
}

async function showRequests() {
  const list = $("request-list");
  if (data.counts.requests !== seen) {
    if (data.counts.requests < seen) forgetRequests();
    const found = await call("GET", `/requests?since=${seen}&limit=${MOST_REQUESTS}`);
    seen = found.number;
    for (const entry of found.items) {
      verdicts[entry.verdict] = (verdicts[entry.verdict] ?? 0) + 1;
      list.prepend(requestItem(entry));
    }
    while (list.children.length > MOST_REQUESTS) list.lastElementChild.remove();
  }
  const words = ["violation", "remark", "injected", "failed"].filter((name) => verdicts[name]).map((name) => `${count(verdicts[name])} ${name === "remark" ? "with a remark" : WORDS[name]}`);
  const text = seen ? [count(seen), ...words].join(", ") : "";
  if ($("requests-count").textContent !== text) $("requests-count").textContent = text;
  $("requests-empty").hidden = list.children.length > 0;
}

function forgetRequests() {
  seen = 0;
  for (const name of Object.keys(verdicts)) delete verdicts[name];
  $("request-list").replaceChildren();
}

function rulesOf(scenario) {
  return data.faults.filter((rule) => rule.id.startsWith(`${scenario.name}-`) && /^\d+$/.test(rule.id.slice(scenario.name.length + 1)));
}

function toggle(scenario, box) {
  const rules = rulesOf(scenario);
  if (busy) box.checked = rules.length > 0; // the box shows what is, not what was asked for meanwhile
  return act(box, "Changing the faults …", async () => {
    if (!rules.length) await call("POST", "/faults", { scenario: scenario.name });
    for (const rule of rules) await call("DELETE", `/faults/${encodeURIComponent(rule.id)}`);
    return `The scenario ${scenario.name} is ${rules.length ? "off" : "on"}.`;
  });
}

function scenarioCard(scenario) {
  const box = node("input", { type: "checkbox", "data-key": scenario.name, onchange: () => toggle(scenario, box) });
  box.checked = rulesOf(scenario).length > 0;
  return node("li", {}, node("label", { class: "check" }, box, node("h3", {}, scenario.name)), node("p", {}, scenario.happens), node("p", { class: "quiet" }, `A good client: ${scenario.goodClient}`));
}

function ruleItem(rule) {
  const { id, kind, matched, fired, repeats, ...rest } = rule;
  const about = Object.entries(rest).filter(([, value]) => value !== null).map(([name, value]) => `${name} ${cell(value)}`).join(", ");
  const remove = () => act($("faults-off"), "Removing the rule …", async () => {
    await call("DELETE", `/faults/${encodeURIComponent(id)}`);
    return `The rule ${id} is gone.`;
  });
  return node("li", { class: "file" },
    node("div", {}, node("div", { class: "path name" }, `${id} (${kind})`), node("div", { class: "quiet path" }, `${about ? `${about}; ` : ""}matched ${many(matched, "time")}, fired ${many(fired, "time")}`)),
    node("div", { class: "buttons" }, node("button", { type: "button", "data-key": id, "aria-label": `Remove the rule ${id}`, onclick: remove }, "Remove")));
}

function showFaults() {
  render($("scenario-list"), [scenarios, data.faults.map((rule) => rule.id)], () => scenarios.map(scenarioCard));
  render($("rule-list"), data.faults, () => data.faults.map(ruleItem));
  $("faults-count").textContent = data.faults.length ? many(data.faults.length, "rule") : "none";
  $("faults-off").hidden = !data.faults.length;
}

// --- asking ---------------------------------------------------------------------------------------------------------

async function ask() {
  if (!scenarios.length) scenarios = (await call("GET", "/scenarios")).items;
  data = await call("GET", "/overview");
  answeredAt = performance.now();
  $("version").textContent = data.version;
  showClock();
  showFlows();
  showRuns();
  showFiles();
  showFaults();
  await showRequests();
}

// One question at a time; none while the page is hidden.
function poll() {
  clearTimeout(timer);
  asking = asking.then(answer);
  return asking;
}

async function answer() {
  let words = "Live";
  await ask().catch((fault) => { words = `No answer: ${fault.message}`; });
  if ($("live").textContent !== words) $("live").textContent = words;
  $("live").classList.toggle("off", words !== "Live");
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(poll, POLL);
}

function told(answer) {
  const failed = answer.runs.filter((run) => run.status !== "success").length;
  const runs = answer.runs.length ? `${many(answer.runs.length, "export")} ran${failed ? `, ${count(failed)} without success` : ""}` : "Nothing was due";
  return `${runs}. It is ${utc(answer.now * 1000)} UTC.`;
}

const advance = (button, body) => act(button, "Moving the clock …", async () => told(await call("POST", "/clock/advance", body())));

$("freeze").addEventListener("click", (event) => act(event.currentTarget, "Setting the clock …", async () => {
  const clock = await call("PUT", "/clock", { mode: data.clock.mode === "frozen" ? "real" : "frozen" });
  return clock.mode === "frozen" ? "Time stands still." : "Time passes.";
}));
$("plus-3h").addEventListener("click", (event) => advance(event.currentTarget, () => ({ seconds: 10800 })));
$("plus-1d").addEventListener("click", (event) => advance(event.currentTarget, () => ({ seconds: 86400 })));
$("to-next").addEventListener("click", (event) => advance(event.currentTarget, () => (data.next > present() + 1 ? { to: data.next } : { seconds: 0 })));
$("flows-more").addEventListener("click", () => { allFlows = true; showFlows(); });
$("files-more").addEventListener("click", () => { allFiles = true; showFiles(); });
$("only-bad").addEventListener("change", (event) => $("request-list").classList.toggle("only-bad", event.currentTarget.checked));
$("preview-close").addEventListener("click", () => $("preview").close());
$("reset").addEventListener("click", () => $("reset-dialog").showModal());
$("reset-no").addEventListener("click", () => $("reset-dialog").close());
$("reset-yes").addEventListener("click", (event) => {
  $("reset-dialog").close();
  act(event.currentTarget, "Resetting …", async () => {
    await call("POST", `/reset?exports=${$("reset-exports").checked}`);
    forgetRequests();
    return "Everything is forgotten.";
  });
});
$("faults-off").addEventListener("click", (event) => act(event.currentTarget, "Removing the faults …", async () => `${many((await call("DELETE", "/faults")).deleted, "rule is", "rules are")} gone.`));
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : poll()));
new ResizeObserver(() => data && showRuns()).observe($("runs"));
setInterval(showClock, 1000);
poll();
