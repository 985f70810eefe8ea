// The dashboard: asks the control calls every two seconds and shows what they answer. Text is only ever set as text.
import { showFaults } from "/__emulator/page/faults.js";
import { showAllFiles, showFiles } from "/__emulator/page/files.js";
import { showAllFlows, showFlows } from "/__emulator/page/flows.js";
import { forgetRequests, lookFor, showMoreRequests, showRequests } from "/__emulator/page/requests.js";
import { showRuns } from "/__emulator/page/runs.js";
import { showSummary } from "/__emulator/page/summary.js";
import { $, NoAnswer, call, copy, count, lasting, many, utc } from "/__emulator/page/tools.js";

const POLL = 2000, TYPING = 250;
const REAL = { mode: "real" };

// `data` is the last answer, `wanted` the text that its flows were to have, `running` how time last passed while it did.
let data = null, wanted = "", running = REAL, scenarios = [];
let asking = Promise.resolve(), timer = 0, typing = 0, answeredAt = 0, answeredOn = "", lost = false, busy = false;

// --- saying and doing ------------------------------------------------------------------------------------------------

function tell(text, fault = null) {
  $("told").textContent = text;
  $("told").classList.toggle("bad", fault !== null);
  $("told").classList.toggle("no-answer", fault instanceof NoAnswer);
}

// Does what a button asks for, one thing at a time, says how it went, and shows it.
async function act(button, doing, action) {
  if (busy || button.getAttribute("aria-disabled") === "true") return;
  busy = true;
  tell(doing);
  try {
    tell(await action());
  } catch (fault) {
    tell(`That did not work: ${fault.message}.`, fault);
  }
  busy = false;
  await poll();
}

// --- the clock -------------------------------------------------------------------------------------------------------

// The emulator's time, reckoned on from the last answer; without an answer nobody knows whether it still passes.
function present() {
  return lost ? data.clock.now : data.clock.now + ((performance.now() - answeredAt) / 1000) * data.clock.speed;
}

const pace = ({ mode, speed }) => (mode === "accelerated" ? `${speed} times as fast` : mode === "frozen" ? "frozen" : "real time");

// Real time that was moved on stays so far ahead of this machine's; a minute may also be the difference of two machines' clocks.
function apart() {
  const minutes = Math.round((present() - Date.now() / 1000) / 60);
  if (data.clock.mode !== "real" || Math.abs(minutes) <= 1) return "";
  return `, ${lasting(Math.abs(minutes) * 60)} ${minutes > 0 ? "ahead" : "behind"}`;
}

function showClock() {
  if (!data) return;
  const ms = Math.floor(present()) * 1000, frozen = data.clock.mode === "frozen";
  $("now").textContent = `${utc(ms)} UTC`;
  $("now").dateTime = new Date(ms).toISOString();
  $("mode").textContent = lost ? `no answer, as of ${answeredOn}` : pace(data.clock) + apart();
  $("mode").title = lost ? "when the emulator last answered, in your own time" : "";
  $("mode").className = `badge ${lost ? "bad" : frozen ? "warn" : "good"}`;
  $("freeze").textContent = !frozen ? "Freeze" : running.mode === "real" ? "Let it run in real time" : `Let it run, ${pace(running)}`;
  $("to-next").setAttribute("aria-disabled", String(data.next === null));
}

// --- an empty emulator -----------------------------------------------------------------------------------------------

const EXAMPLE = { name: "Example: a dataset to Amazon S3", destination: "amazon-s3", dataset: "5ef3e3259ad2a1191ab7dd7d", compression: "GZIP" };

// A call that works as it stands, in an organization and a sandbox that exist.
const curl = ([org, sandbox]) => `curl ${location.origin}/data/foundation/flowservice/flows \\
  -H 'Authorization: Bearer any' -H 'x-api-key: any' \\
  -H 'x-gw-ims-org-id: ${org}' -H 'x-sandbox-name: ${sandbox}'`;

async function createExample() {
  const [org, sandbox] = data.scope;
  await call("POST", "/flows", { ...EXAMPLE, org, sandbox });
  return "An example flow is there. It exports every three hours, for the first time at once.";
}

// --- asking ----------------------------------------------------------------------------------------------------------

async function ask() {
  const text = $("flow-name").value.trim();
  const answer = await call("GET", `/overview${text ? `?flow=${encodeURIComponent(text)}` : ""}`);
  if (data && data.epoch !== answer.epoch) forget();
  [data, wanted, lost] = [answer, text, false];
  answeredAt = performance.now();
  answeredOn = new Date().toLocaleTimeString("en-GB");
  if (data.clock.mode !== "frozen") running = { mode: data.clock.mode, speed: data.clock.speed };
  if (!scenarios.length) scenarios = (await call("GET", "/scenarios")).items;
  $("version").textContent = data.version;
  $("curl").textContent = curl(data.scope);
  showClock();
  showSummary(data);
  showFlows(data, wanted, lead);
  showRuns(data, wanted);
  showFiles(data);
  showFaults(data, scenarios, act);
  await showRequests(data);
}

// The server was reset or started again: what is known of its life before is of no use.
function forget() {
  forgetRequests();
  scenarios = [];
  running = REAL;
}

// One question at a time; none while the page is hidden.
function poll() {
  clearTimeout(timer);
  asking = asking.then(answer);
  return asking;
}

async function answer() {
  let words = "Live";
  try {
    await ask();
    if ($("told").classList.contains("no-answer")) tell("");
  } catch (fault) {
    words = fault instanceof NoAnswer ? "The emulator does not answer" : `No answer: ${fault.message}`;
    lost = true;
  }
  if ($("live").textContent !== words) $("live").textContent = words;
  $("live").classList.toggle("off", lost);
  showClock();
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(poll, POLL);
}

// --- what a person does ----------------------------------------------------------------------------------------------

function told(answer) {
  const failed = answer.runs.filter((run) => run.status !== "success").length;
  const runs = answer.runs.length ? `${many(answer.runs.length, "export")} ran${failed ? `, ${count(failed)} without success` : ""}` : "Nothing was due";
  return `${runs}. It is ${utc(answer.now * 1000)} UTC.`;
}

const advance = (button, body) => act(button, "Moving the clock …", async () => told(await call("POST", "/clock/advance", body())));

$("freeze").addEventListener("click", (event) => act(event.currentTarget, "Setting the clock …", async () => {
  const clock = await call("PUT", "/clock", data.clock.mode === "frozen" ? running : { mode: "frozen" });
  return clock.mode === "frozen" ? "Time stands still." : `Time passes, ${pace(clock)}.`;
}));
$("plus-3h").addEventListener("click", (event) => advance(event.currentTarget, () => ({ seconds: 10800 })));
$("plus-1d").addEventListener("click", (event) => advance(event.currentTarget, () => ({ seconds: 86400 })));
$("to-next").addEventListener("click", (event) => advance(event.currentTarget, () => (data.next > present() + 1 ? { to: data.next } : { seconds: 0 })));

// From a flow's card to its runs and files, by its id in the search of flows, or to its requests.
function lead(part, flow) {
  if (part === "requests") lookFor("", flow);
  else $("flow-name").value = flow;
  poll().then(() => $(`${part}-title`).focus());
}

function typed() {
  clearTimeout(typing);
  typing = setTimeout(poll, TYPING);
}

$("curl-copy").addEventListener("click", () => act($("curl-copy"), "Copying …", () => copy($("curl").textContent).then(() => "The call is in the clipboard.")));
$("example").addEventListener("click", (event) => act(event.currentTarget, "Creating a flow …", createExample));
$("flows-more").addEventListener("click", () => showAllFlows(data, wanted, lead));
$("files-more").addEventListener("click", () => showAllFiles(data));
$("requests-more").addEventListener("click", () => showMoreRequests(data));
$("sum-failure-link").addEventListener("click", () => ($("runs-details").open = true));
$("sum-refused-link").addEventListener("click", () => {
  lookFor("violation", "");
  poll();
});
$("flow-name").addEventListener("input", typed);
$("flows-all").addEventListener("click", () => {
  $("flow-name").value = "";
  poll();
});
$("request-text").addEventListener("input", () => {
  forgetRequests();
  typed();
});
$("verdicts").addEventListener("change", () => {
  forgetRequests();
  poll();
});
$("preview-close").addEventListener("click", () => $("preview").close());
$("reset").addEventListener("click", () => {
  $("reset-exports").checked = false; // what destroys files is to be asked for each time
  $("reset-dialog").showModal();
});
$("reset-no").addEventListener("click", () => $("reset-dialog").close());
$("reset-yes").addEventListener("click", (event) => {
  const exports = $("reset-exports").checked;
  $("reset-dialog").close();
  act(event.currentTarget, "Resetting …", async () => {
    await call("POST", `/reset?exports=${exports}`);
    return `Everything is forgotten. ${exports ? "The export folder is empty." : "Exported files stay on disk, but are no longer listed."}`;
  });
});
$("faults-off").addEventListener("click", (event) => act(event.currentTarget, "Removing the faults …", async () => `${many((await call("DELETE", "/faults")).deleted, "rule is", "rules are")} gone.`));
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : poll()));
new ResizeObserver(() => data && showRuns(data, wanted)).observe($("runs"));
// On a wide window the bar with the clock stays at the top: what a link leads to, or the focus, must not come to lie behind it.
new ResizeObserver(() => {
  const above = getComputedStyle($("clock")).position === "sticky" ? $("clock").offsetHeight : 0;
  document.documentElement.style.scrollPaddingTop = `${above + 12}px`;
}).observe($("clock"));
setInterval(showClock, 1000);
poll();
