"""The contract report as JUnit XML, for build servers: each rule is a test case.

A violated rule fails. A rule that was only warned of is skipped with the warning as its reason, which build servers show
without turning the build red; with `--fail-on warning` it fails as well. The coverage goes along as properties.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from flow_service_emulator.reports.words import SEVERITIES, Severity, counted, left_out, printable, unmatched, where


def junit_report(report: Mapping[str, Any], fail_on: Severity) -> str:
    """The report as an XML document. `fail_on`: `violation` or `warning`."""
    root = Element("testsuites", name="Flow Service contract")
    met = {rule["id"]: rule for severity in SEVERITIES for rule in report[f"{severity}s"]}
    for severity in SEVERITIES:
        suite = SubElement(root, "testsuite", name=f"{severity}s")
        properties = SubElement(suite, "properties")
        for name, value in _properties(report).items():
            SubElement(properties, "property", name=name, value=value)
        outcome = "failure" if severity == "violation" or fail_on == "warning" else "skipped"
        for rule in report["rules"]:
            if rule["severity"] == severity:
                title = printable(f"{rule['id']}: {rule['title']}")
                case = SubElement(suite, "testcase", classname=f"contract.{severity}", name=title, time="0")
                if rule["id"] in met:
                    _add_outcome(case, outcome, met[rule["id"]])
    for element in (*root, root):
        for count, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            element.set(count, str(len(list(element.iter(tag)))))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _add_outcome(case: Element, outcome: str, rule: Mapping[str, Any]) -> None:
    summary = printable(f"{counted(rule['count'], 'request')}. {rule['fix']}")
    lines = [f"How to fix it: {rule['fix']}", f"Source: {rule['source']}", ""]
    for finding in rule["findings"]:
        place = f"{finding['place']}: " if finding["place"] else ""
        lines += [f"{place}{finding['message']}", f"  {where(finding)}, {counted(finding['count'], 'time')}"]
    details = printable("\n".join(lines))
    if outcome == "failure":
        SubElement(case, outcome, message=summary, type=rule["id"]).text = details
    else:
        SubElement(case, outcome, message=summary)
        SubElement(case, "system-out").text = details


def _properties(report: Mapping[str, Any]) -> dict[str, str]:
    summary = report["summary"]
    properties = {"requests": str(summary["requests"])}
    if known := left_out(report):
        properties["baseline"] = known
    if rules := unmatched(report):
        properties["unmatchedFaults"] = printable("; ".join(rules))
    for dimension, part in summary["coverage"].items():
        properties[f"coverage.{dimension}"] = f"{part['met']} of {part['total']}"
    return properties
