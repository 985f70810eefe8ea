// The strip under the clock: how it stands, in four figures that lead to where more is said.
import { $, count, flowName, lasting, many, utc } from "/__emulator/page/tools.js";

function set(id, text, kind = "") {
  if ($(id).textContent !== text) $(id).textContent = text;
  $(id).className = kind;
}

export function showSummary(data) {
  const { counts, verdicts, clock } = data;
  set("sum-flows", count(counts.flows));
  set("sum-next", data.next === null ? "none ahead" : data.next > clock.now ? `in ${lasting(data.next - clock.now)}` : "due");
  const failed = data.runs.find((run) => run.status === "failed");
  set("sum-failure", failed ? `${lasting(clock.now - failed.startedAt / 1000)} ago` : data.runs.length ? "none" : "no runs yet", failed ? "bad" : "");
  $("sum-failure-link").title = failed ? `${utc(failed.startedAt)} UTC, ${flowName(failed.flowName, failed.flowId)}: ${failed.errors.map((error) => error.message).join("; ")}` : "";
  set("sum-refused", counts.requests ? `${count(verdicts.violation)} of ${count(counts.requests)}` : "no requests yet", verdicts.violation ? "bad" : "");
  $("sum-refused-link").title = counts.requests ? `of ${many(counts.requests, "request")}; ${many(verdicts.warning, "has a warning", "have a warning")}` : "";
}
