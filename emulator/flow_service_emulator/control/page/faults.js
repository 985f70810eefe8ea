// The faults: scenarios to be switched on and off, and the rules that are armed.
import { $, call, cell, hide, many, node, render } from "/__emulator/page/tools.js";

function rulesOf(scenario, data) {
  return data.faults.filter((rule) => rule.id.startsWith(`${scenario.name}-`) && /^\d+$/.test(rule.id.slice(scenario.name.length + 1)));
}

async function toggle(scenario, rules) {
  if (!rules.length) await call("POST", "/faults", { scenario: scenario.name });
  for (const rule of rules) await call("DELETE", `/faults/${encodeURIComponent(rule.id)}`);
  return `The scenario ${scenario.name} is ${rules.length ? "off" : "on"}.`;
}

function scenarioCard(scenario, data, act) {
  const rules = rulesOf(scenario, data);
  const box = node("input", { type: "checkbox", "data-key": scenario.name });
  box.addEventListener("change", async () => {
    await act(box, "Changing the faults …", () => toggle(scenario, rules));
    box.checked = rules.length > 0; // when it worked, another box is in its place by now; else this shows what still is
  });
  box.checked = rules.length > 0;
  return node("li", {}, node("h3", {}, node("label", { class: "check" }, box, scenario.name)), node("p", {}, scenario.happens), node("p", { class: "quiet" }, `A good client: ${scenario.goodClient}`));
}

function ruleItem(rule, act) {
  const { id, kind, matched, fired, repeats, ...rest } = rule;
  const about = Object.entries(rest).filter(([, value]) => value !== null).map(([name, value]) => `${name} ${cell(value)}`).join(", ");
  const button = node("button", { type: "button", "data-key": id, "aria-label": `Remove the rule ${id}` }, "Remove");
  button.addEventListener("click", () => act(button, "Removing the rule …", async () => {
    await call("DELETE", `/faults/${encodeURIComponent(id)}`);
    return `The rule ${id} is gone.`;
  }));
  return node("li", { class: "file" },
    node("div", {}, node("div", { class: "path name" }, `${id} (${kind})`), node("div", { class: "quiet path" }, `${about ? `${about}; ` : ""}matched ${many(matched, "time")}, fired ${many(fired, "time")}`)),
    node("div", { class: "buttons" }, button));
}

// `act` does what a button asks for (see page.js).
export function showFaults(data, scenarios, act) {
  render($("scenario-list"), [scenarios, data.faults.map((rule) => rule.id)], () => scenarios.map((scenario) => scenarioCard(scenario, data, act)));
  render($("rule-list"), data.faults, () => data.faults.map((rule) => ruleItem(rule, act)));
  $("faults-count").textContent = data.faults.length ? many(data.faults.length, "rule") : "none";
  hide($("faults-off"), !data.faults.length);
}
