// The exported files, and a look into one.
import { $, CONTROL, call, cell, flowName, given, hide, many, node, pathOf, render, size } from "/__emulator/page/tools.js";

const FEW = 6;
let all = false;

function fileItem(file) {
  const parts = file.path.split("/"), name = parts.pop();
  const flow = flowName(file.flowName, file.flow);
  return node("li", { class: "file" },
    node("div", {}, node("div", { class: "path name" }, name), node("div", { class: "path quiet" }, parts.join("/")), node("div", { class: "quiet path clamped", title: flow }, given(flow)), node("div", { class: "quiet path" }, `${many(file.rows, "row")}, ${size(file.size)}`)),
    node("div", { class: "buttons" },
      node("button", { type: "button", "data-key": file.path, "aria-label": `Preview ${name}`, onclick: () => showPreview(file) }, "Preview"),
      node("a", { class: "button", href: `${CONTROL}/exports/${pathOf(file)}`, download: name, "aria-label": `Download ${name}` }, "Download")));
}

export function showFiles(data) {
  const files = all ? data.files : data.files.slice(0, FEW);
  render($("file-list"), files, () => files.map(fileItem));
  hide($("files-more"), data.files.length <= files.length);
  $("files-more").textContent = `Show all ${data.files.length}`;
  $("files-empty").hidden = data.files.length > 0;
  $("files-count").textContent = data.files.length ? `${data.files.length} of the newest runs` : "";
}

export function showAllFiles(data) {
  all = true;
  showFiles(data);
  $("file-list").querySelectorAll("[data-key]")[FEW]?.focus(); // the first of those that have come to be seen
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
