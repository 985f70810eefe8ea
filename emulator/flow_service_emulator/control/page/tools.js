// What all parts of the page use: making elements, words for numbers, showing lists again, and asking the emulator.

export const CONTROL = "/__emulator";
const PATIENCE = 10000;

export function utc(ms) {
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

export const $ = (id) => document.getElementById(id);
export const count = (number) => number.toLocaleString("en");
export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

// The emulator did not answer at all, as opposed to refusing.
export class NoAnswer extends Error {
  constructor() {
    super("the emulator does not answer");
  }
}

export function node(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

export const badge = (kind, text) => node("span", { class: `badge ${kind}` }, text);
export const stamp = (ms) => node("time", { datetime: new Date(ms).toISOString() }, `${utc(ms)} UTC`);
// A name that somebody gave: one written from right to left must not turn round what stands beside it.
export const given = (name) => node("bdi", {}, name);

export function size(bytes) {
  if (bytes < 1000) return many(bytes, "byte");
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

// A length of time in its two largest units: `2 h 1 min`.
export function lasting(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const left = Math.max(0, Math.round(seconds));
  const first = parts.findIndex(([unit]) => left >= unit);
  if (first < 0) return "a moment";
  const words = parts.slice(first, first + 2).map(([unit, name], index) => [Math.floor((index ? left % parts[first][0] : left) / unit), name]);
  return words.filter(([number]) => number).map(([number, name]) => `${number} ${name}`).join(" ");
}

// Beyond this machine a page has no clipboard but that of a selected text.
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const box = node("textarea", {}, text);
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
}

export function copyButton(text, label) {
  const button = node("button", { type: "button", class: "small", "data-key": `copy ${text}`, "aria-label": label }, "Copy");
  button.addEventListener("click", async () => {
    await copy(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

// A value of a row as text.
export function cell(value) {
  return value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
}

// The name of a flow, which may be empty, or gone with its flow (null).
export function flowName(name, id) {
  return name === null ? `deleted flow ${id.slice(0, 8)}` : name || id;
}

export const pathOf = (file) => file.path.split("/").map(encodeURIComponent).join("/");

function focusHeading(within) {
  within.closest("section").querySelector("h2").focus();
}

// Hides a button, or shows it. A hidden one cannot keep the focus, which goes to the section's heading.
export function hide(button, hidden) {
  if (hidden && button === document.activeElement) focusHeading(button);
  button.hidden = hidden;
}

const shown = new Map();

// Whether what a part is to show differs from what it shows; the next time it does not.
export function changed(box, of) {
  const key = JSON.stringify(of);
  if (shown.get(box.id) === key) return false;
  shown.set(box.id, key);
  return true;
}

// Shows a part again only when what it shows has changed. The focus stays where it was; if that is gone, it goes to what
// has taken its place, else to the section's heading.
export function render(box, of, build) {
  if (!changed(box, of)) return;
  const keyed = () => [...box.querySelectorAll("[data-key]")];
  const before = keyed(), place = before.indexOf(document.activeElement), key = before[place]?.dataset.key;
  box.replaceChildren(...build());
  if (place < 0) return;
  const after = keyed();
  const heir = after.find((each) => each.dataset.key === key) ?? after[Math.min(place, after.length - 1)];
  if (heir) heir.focus();
  else focusHeading(box);
}

export async function call(method, path, body) {
  const signal = method === "GET" ? AbortSignal.timeout(PATIENCE) : undefined;
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  let answer, text;
  try {
    answer = await fetch(CONTROL + path, { method, signal, ...sent });
    text = await answer.text();
  } catch {
    throw new NoAnswer();
  }
  const value = parsed(text);
  if (!answer.ok) throw new Error(value?.detail ?? value?.errorMessage ?? `the answer was ${answer.status}`);
  if (value === undefined) throw new Error("the answer was no JSON");
  return value;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
