// The flows, a card for each.
import { $, badge, copyButton, count, flowName, given, hide, lasting, many, node, render, stamp } from "/__emulator/page/tools.js";

const FEW = 6;
let all = false;

function schedule(flow) {
  const { interval, timeUnit, startTime, endTime, exportMode } = flow.schedule;
  const often = interval === 0 ? "once" : interval === 1 ? `every ${timeUnit}` : `every ${interval} ${timeUnit}s`;
  const rows = exportMode === "DAILY_FULL_EXPORT" ? "all rows" : "all rows first, then new ones";
  return [`${often} from `, stamp(startTime * 1000), ...(endTime ? [" until ", stamp(endTime * 1000)] : []), `; ${rows}`];
}

function datasets(flow) {
  return flow.datasets.map(({ id, name }) => node("div", {}, given(name), name === id ? null : node("div", { class: "mono quiet" }, id)));
}

function leadLink(part, id, name, lead) {
  const link = node("a", { href: `#${part}`, "data-key": `${id} ${part}`, "aria-label": `${part} of ${name}` }, part);
  link.addEventListener("click", (event) => {
    event.preventDefault(); // where the section will be is known when it shows what is looked for
    lead(part, id);
  });
  return link;
}

// `lead` goes to a section with what is about one flow.
function flowCard(flow, lead) {
  const name = flowName(flow.name, flow.id), last = flow.lastRun;
  const next = flow.next === null ? ["none ahead"] : [stamp(flow.next * 1000), node("span", { class: "ahead", "data-at": flow.next })];
  return node("li", {},
    node("div", { class: "head" }, node("h3", { class: "clamped", title: name }, given(name)), badge(flow.state === "enabled" ? "good" : "warn", flow.state)),
    node("p", { class: "quiet" }, given(flow.org), " · ", given(flow.sandbox)),
    node("dl", {},
      node("dt", {}, "Id"), node("dd", {}, node("span", { class: "mono id" }, flow.id), " ", copyButton(flow.id, `Copy the id of ${name}`)),
      node("dt", {}, "To"), node("dd", {}, flow.destination),
      node("dt", {}, "Datasets"), node("dd", { class: "datasets" }, ...datasets(flow)),
      node("dt", {}, "Schedule"), node("dd", {}, ...schedule(flow)),
      node("dt", {}, "Next export"), node("dd", { class: "next" }, ...next),
      node("dt", {}, "Last run"), node("dd", { class: "last" }, ...(last ? [`${last.status}, ${many(last.rows, "row")}, `, stamp(last.startedAt)] : ["not yet"]))),
    node("p", { class: "leads" }, ...["runs", "files", "requests"].map((part) => leadLink(part, flow.id, name, lead))));
}

// How long it is until the next exports. Only these words change as time passes, so that a selected text stays selected.
export function showAhead(now) {
  for (const each of $("flow-list").querySelectorAll(".ahead")) {
    const at = Number(each.dataset.at), words = ` (${at > now ? `in ${lasting(at - now)}` : "due"})`;
    if (each.textContent !== words) each.textContent = words;
  }
}

// Of many flows, how many there are and which of them are shown.
function countWords({ counts, flows }, wanted) {
  if (!counts.flows) return "";
  const newest = counts.flowsFound > flows.length ? `the newest ${flows.length} of ${count(counts.flowsFound)}` : count(counts.flowsFound);
  return wanted ? `${newest} found, ${count(counts.flows)} in all` : newest;
}

// `wanted` is the text that the flows of `data` have in their name or id.
export function showFlows(data, wanted, lead) {
  const flows = all ? data.flows : data.flows.slice(0, FEW);
  render($("flow-list"), flows, () => flows.map((flow) => flowCard(flow, lead)));
  showAhead(data.clock.now);
  $("flows-count").textContent = countWords(data, wanted);
  $("flows-empty").hidden = data.counts.flows > 0;
  $("flows-none").hidden = !wanted || !data.counts.flows || data.flows.length > 0;
  $("flows-find").hidden = !wanted && data.counts.flows < 2;
  hide($("flows-all"), !wanted);
  $("flows-hint").hidden = data.counts.flowsFound <= data.flows.length;
  hide($("flows-more"), data.flows.length <= flows.length);
  $("flows-more").textContent = `Show ${data.counts.flowsFound > data.flows.length ? "the newest" : "all"} ${data.flows.length}`;
}

export function showAllFlows(data, wanted, lead) {
  all = true;
  showFlows(data, wanted, lead);
}
