// The exported files as a table by run, and a look into one.
import { $, CONTROL, call, cell, count, flowName, given, hide, many, node, pathOf, render, size, stamp } from "/__emulator/page/tools.js";

const FEW = 3;
let all = false;

function fileRow(file) {
  const parts = file.path.split("/"), name = parts.pop();
  return node("tr", {},
    node("td", { class: "file" }, node("div", { class: "path name" }, name), node("div", { class: "path quiet" }, parts.join("/"))),
    node("td", { class: "number" }, many(file.rows, "row")),
    node("td", { class: "number" }, size(file.size)),
    node("td", {}, node("div", { class: "buttons" },
      node("button", { type: "button", "data-key": file.path, "aria-label": `Preview ${name}`, onclick: () => showPreview(file) }, "Preview"),
      node("a", { class: "button", href: `${CONTROL}/exports/${pathOf(file)}`, download: name, "aria-label": `Download ${name}` }, "Download"))));
}

function runRows([run, files], runs) {
  const flow = flowName(files[0].flowName, files[0].flow), rows = files.reduce((sum, file) => sum + file.rows, 0);
  const started = runs.find((each) => each.id === run)?.startedAt;
  return node("tbody", {},
    node("tr", { class: "run" }, node("th", { scope: "rowgroup", colspan: "4" },
      started ? stamp(started) : null, node("span", { class: "clamped", title: flow }, given(flow)), node("span", { class: "quiet" }, `${many(files.length, "file")}, ${many(rows, "row")}`))),
    ...files.map(fileRow));
}

export function showFiles(data) {
  const runs = new Map();
  for (const file of data.files) runs.set(file.run, [...(runs.get(file.run) ?? []), file]);
  const shown = [...runs].slice(0, all ? runs.size : FEW);
  render($("file-list"), shown, () => shown.map((each) => runRows(each, data.runs)));
  hide($("files-more"), runs.size <= shown.length);
  $("files-more").textContent = `Show the files of all ${runs.size} runs`;
  $("files-empty").hidden = data.files.length > 0;
  $("files-count").textContent = data.files.length ? `${count(data.files.length)}, of the newest ${many(runs.size, "run")}` : "";
}

export function showAllFiles(data) {
  const before = $("file-list").querySelectorAll("[data-key]").length;
  all = true;
  showFiles(data);
  $("file-list").querySelectorAll("[data-key]")[before]?.focus(); // the first of those that have come to be seen
}

// A long text is cut off at the cell's edge; its title has the whole.
const dataCell = (text) => node("td", { title: text.length > 30 ? text : null }, text);

async function showPreview(file) {
  const parts = file.path.split("/");
  $("preview-title").textContent = parts.pop();
  $("preview-about").textContent = "Reading …";
  $("preview-rows").replaceChildren();
  $("preview").showModal();
  try {
    const found = await call("GET", `/previews/${pathOf(file)}?rows=20`);
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
