// /openapi.json as a page: the operations by tag; each opens to its parameters, its body and its answers.
import { $, cell, many, node } from "/__emulator/page/tools.js";

const DEEPEST = 8;
let description;

// What a schema says, with references and the parts of `allOf` put together.
function resolved(schema) {
  if (!schema.$ref && !schema.allOf) return schema;
  const { $ref, allOf = [], ...rest } = schema;
  const parts = [...($ref ? [description.components.schemas[$ref.split("/").pop()]] : []), ...allOf].map(resolved);
  return [...parts, rest].reduce((all, part) => ({
    ...all, ...part, properties: { ...all.properties, ...part.properties }, required: [...(all.required ?? []), ...(part.required ?? [])],
  }), {});
}

function kind(schema) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.items) return `array of ${kind(resolved(schema.items))}`;
  return [schema.type ?? (schema.properties ? "object" : ""), schema.format].flat().filter(Boolean).join(" ") || "any";
}

const RULES = ["pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "default"];

function words(schema) {
  const rules = RULES.filter((rule) => schema[rule] !== undefined).map((rule) => `${rule} ${cell(schema[rule])}`);
  const example = schema.examples?.length ? `for example ${cell(schema.examples[0])}` : "";
  return [schema.description, ...rules, example].filter(Boolean).join("; ");
}

const line = (name, schema, required) => [
  node("code", {}, name), " ", node("span", { class: "quiet" }, `${kind(schema)}${required ? ", required" : ""}`),
  words(schema) ? node("div", { class: "quiet" }, words(schema)) : null,
];

// The fields of a schema as a list within a list.
function fields(given, depth = 0) {
  let schema = resolved(given);
  while (schema.items) schema = resolved(schema.items);
  const kinds = schema.oneOf ?? schema.anyOf ?? [];
  if (depth > DEEPEST) return null;
  const properties = Object.entries(schema.properties ?? {}).map(([name, each]) => {
    const field = resolved(each);
    return node("li", {}, ...line(name, field, schema.required?.includes(name)).filter(Boolean), fields(field, depth + 1));
  });
  const either = kinds.map((each, index) => node("li", {}, node("span", { class: "quiet" }, `${index ? "or" : "either"} ${each.$ref?.split("/").pop() ?? resolved(each).title ?? kind(resolved(each))}`), fields(each, depth + 1)));
  return properties.length + either.length ? node("ul", { class: "fields" }, ...properties, ...either) : null;
}

function content(body) {
  return Object.entries(body?.content ?? {}).flatMap(([type, { schema }]) => [node("p", { class: "quiet" }, type), fields(schema ?? {})]);
}

function opened({ parameters = [], requestBody, responses }) {
  const answers = Object.entries(responses).map(([status, answer]) => node("li", {}, node("code", {}, status), ` ${answer.description}`, ...(status < "300" ? content(answer) : [])));
  return node("div", {},
    ...(parameters.length ? [node("h3", {}, "Parameters"), node("ul", { class: "fields" }, ...parameters.map((each) => node("li", {}, ...line(each.name, { ...each.schema, description: each.description }, each.required).filter(Boolean), node("span", { class: "quiet" }, ` in the ${each.in}`))))] : []),
    ...(requestBody ? [node("h3", {}, "Body"), ...content(requestBody)] : []),
    node("h3", {}, "Answers"), node("ul", { class: "fields" }, ...answers));
}

function operation([path, method, about]) {
  const box = node("details", {}, node("summary", { class: "line" },
    node("span", { class: "method" }, method.toUpperCase()), node("span", { class: "mono path" }, path), node("span", { class: "quiet" }, about.summary)));
  box.addEventListener("toggle", () => box.append(opened(about)), { once: true });
  return node("li", {}, box);
}

function show() {
  const wanted = $("wanted").value.trim().toLowerCase();
  const every = Object.entries(description.paths).flatMap(([path, item]) => Object.entries(item).map(([method, about]) => [path, method, about]));
  const found = every.filter((each) => `${each[1]} ${each[0]} ${each[2].summary}`.toLowerCase().includes(wanted));
  const sections = description.tags.map(({ name }) => [name, found.filter(([, , about]) => about.tags.includes(name))]).filter(([, some]) => some.length);
  $("main").replaceChildren(...sections.map(([name, some]) => node("section", {}, node("h2", {}, name), node("ul", { class: "rows" }, ...some.map(operation)))));
  $("found").textContent = many(found.length, "operation");
}

description = await (await fetch("/openapi.json")).json();
$("version").textContent = description.info.version;
$("about").textContent = description.info.description;
$("wanted").addEventListener("input", show);
show();
