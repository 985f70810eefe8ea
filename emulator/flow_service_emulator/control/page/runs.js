// The runs, as a picture and as a table.
import { draw } from "/__emulator/page/picture.js";
import { $, badge, changed, count, flowName, given, node, render, stamp } from "/__emulator/page/tools.js";

function row(run) {
  const name = flowName(run.flowName, run.flowId);
  const told = run.errors.map((error) => `${error.code}: ${error.message}`);
  if (run.call) told.push(`${run.call.call} took ${run.call.seconds} s: ${run.call.answer}`);
  return node("tr", {},
    node("td", {}, stamp(run.startedAt)),
    node("td", {}, node("div", { class: "clamped", title: name }, given(name))),
    node("td", {}, badge({ success: "good", failed: "bad" }[run.status] ?? "warn", run.status)),
    node("td", { class: "number" }, count(run.rows)),
    node("td", { class: "number" }, count(run.fileCount)),
    node("td", {}, told.join("; ")));
}

// `wanted` is the text that the runs' flows have in their name or id.
export function showRuns(data, wanted) {
  const nexts = data.flows.map((flow) => [flow.id, flow.name, flow.next]);
  const drawn = data.runs.length > 0 || nexts.some(([, , next]) => next !== null);
  if (changed($("picture"), [data.runs, nexts, Math.floor(data.clock.now / 60), $("picture").clientWidth])) draw($("picture"), data);
  $("runs-empty").hidden = drawn;
  $("legend").hidden = $("runs-details").hidden = !drawn;
  const more = data.counts.runs > data.runs.length ? `, ${wanted ? `${count(data.runs.length)} of the flows looked for` : `the newest ${count(data.runs.length)} are shown`}` : "";
  $("runs-count").textContent = data.counts.runs ? count(data.counts.runs) + more : "";
  render($("run-rows"), data.runs, () => data.runs.map(row));
}
