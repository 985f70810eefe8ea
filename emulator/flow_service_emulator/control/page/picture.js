// Runs over time as a picture: a lane for each flow, a mark for each run, drawn as SVG.
import { flowName, many, utc } from "/__emulator/page/tools.js";

const SVG = "http://www.w3.org/2000/svg";
const LANES = 12, LANE = 46, TOP = 42, BOTTOM = 8, SIDE = 14, TICK_WIDTH = 110;
const MINUTE = 60e3, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const STEPS = [15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 56 * DAY, 112 * DAY, 224 * DAY];
// As many ticks fit on a phone. Since no step is more than twice the one before, there are two in any case.
const LEAST_ROOM = 4;

function shape(name, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

function titled(node, text) {
  node.append(shape("title", {}, text));
  return node;
}

// What is to be drawn: the flows that have a run or an export ahead, the newest activity first.
function lanesOf(data) {
  const lanes = new Map();
  for (const run of data.runs) {
    if (!lanes.has(run.flowId)) lanes.set(run.flowId, { name: flowName(run.flowName, run.flowId), runs: [], next: run.flowNext });
    lanes.get(run.flowId).runs.push(run);
  }
  for (const flow of data.flows) {
    if (flow.next !== null && !lanes.has(flow.id)) lanes.set(flow.id, { name: flowName(flow.name, flow.id), runs: [], next: flow.next });
  }
  return [...lanes.values()];
}

function span(lanes, now) {
  const times = lanes.flatMap((lane) => lane.runs.map((run) => run.startedAt));
  const first = Math.min(now, ...times);
  const nexts = lanes.filter((lane) => lane.next !== null).map((lane) => lane.next * 1000);
  const past = Math.max(now - first, 3 * HOUR);
  // an export far ahead would press the past together: it is shown at the edge
  const last = Math.max(now, Math.min(Math.max(now, ...nexts), now + past));
  const air = Math.max(last - first, HOUR) * 0.03;
  return [first - air, last + air];
}

// Ticks with their time; the first and each midnight have the date above it.
function axis(svg, from, to, x, width, height) {
  const most = Math.max(LEAST_ROOM, width / TICK_WIDTH);
  const step = STEPS.find((each) => (to - from) / each <= most) ?? Math.ceil((to - from) / most / DAY) * DAY;
  const first = Math.ceil(from / step) * step;
  for (let at = first; at <= to; at += step) {
    const label = (y, half, text) => shape("text", { class: "tick", x: Math.min(Math.max(x(at), half), width - half), y, "text-anchor": "middle" }, text);
    svg.append(shape("line", { class: "grid", x1: x(at), x2: x(at), y1: TOP - 8, y2: height - BOTTOM }));
    if (at === first || at % DAY === 0) svg.append(label(12, 36, utc(at).slice(0, 10)));
    if (step < DAY) svg.append(label(28, 18, utc(at).slice(11, 16)));
  }
}

// Cuts a name off where the picture ends; how wide it is, only the browser knows.
function shorten(text, name, room) {
  const letters = [...name];
  if (text.getComputedTextLength() <= room) return;
  let [fits, not] = [0, letters.length];
  while (not - fits > 1) {
    const half = (fits + not) >> 1;
    text.firstChild.data = `${letters.slice(0, half).join("")}…`;
    if (text.getComputedTextLength() <= room) fits = half;
    else not = half;
  }
  text.firstChild.data = `${letters.slice(0, fits).join("")}…`;
}

function mark(run, x, y, most) {
  const size = run.rows && most ? 4 + 5 * Math.sqrt(run.rows / most) : 4;
  const words = `${utc(run.startedAt)} UTC: ${run.status}, ${many(run.rows, "row")} in ${many(run.fileCount, "file")}`;
  const kind = run.status.toLowerCase();
  if (kind === "success") return titled(shape("circle", { class: "success", cx: x, cy: y, r: size }), words);
  if (kind === "failed") {
    const reasons = run.errors.map((error) => error.message).join("; ");
    return titled(shape("path", { class: "failed", d: `M${x - 5} ${y - 5}l10 10m0-10l-10 10` }), `${words}. ${reasons}`);
  }
  return titled(shape("rect", { class: "inProgress", x: x - 5, y: y - 5, width: 10, height: 10 }), words);
}

// Draws into `box`; answers how many lanes there are, 0 when there is nothing to draw.
export function draw(box, data) {
  const lanes = lanesOf(data), shown = lanes.slice(0, LANES), width = Math.floor(box.clientWidth) || 600;
  box.replaceChildren();
  if (!shown.length) return 0;
  const now = data.clock.now * 1000, [from, to] = span(shown, now);
  const x = (ms) => Math.round((SIDE + ((Math.min(Math.max(ms, from), to) - from) / (to - from)) * (width - 2 * SIDE)) * 10) / 10;
  const height = TOP + shown.length * LANE + BOTTOM;
  const ran = shown.reduce((sum, lane) => sum + lane.runs.length, 0);
  const label = `${many(ran, "run")} of ${many(shown.length, "flow")} from ${utc(from)} to ${utc(to)} UTC; the table below says the same.`;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
  axis(svg, from, to, x, width, height);
  svg.append(titled(shape("line", { class: "present", x1: x(now), x2: x(now), y1: TOP - 8, y2: height - BOTTOM }), `now: ${utc(now)} UTC`));
  const most = Math.max(0, ...shown.flatMap((lane) => lane.runs.map((run) => run.rows)));
  shown.forEach((lane, index) => {
    const y = TOP + index * LANE + 30;
    svg.append(titled(shape("text", { class: "name", x: SIDE, y: y - 15 }, lane.name), lane.name));
    svg.append(shape("line", { class: "lane", x1: SIDE, x2: width - SIDE, y1: y, y2: y }));
    if (lane.next !== null) {
      const ahead = shape("circle", { class: "ahead", cx: x(lane.next * 1000), cy: y, r: 6 });
      svg.append(titled(ahead, `next export: ${utc(lane.next * 1000)} UTC`));
    }
    for (const run of [...lane.runs].reverse()) svg.append(mark(run, x(run.startedAt), y, most));
  });
  box.append(svg);
  svg.querySelectorAll(".name").forEach((text, index) => shorten(text, shown[index].name, width - 2 * SIDE));
  if (lanes.length > shown.length) {
    const more = document.createElement("p");
    more.className = "quiet";
    more.textContent = `${many(lanes.length - shown.length, "more flow is", "more flows are")} not drawn.`;
    box.append(more);
  }
  return lanes.length;
}
