"""The contract report as JUnit XML, for build servers: each rule is a test case.

A violated rule fails. A rule that was only warned of is skipped with the warning as its reason, which build servers show
without turning the build red; with `--fail-on warning` it fails as well. The coverage goes along as properties.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree

from flow_service_emulator.reports.words import Severity, counted, left_out, printable, where

SUITES: Final = {"violation": "violations", "warning": "warnings"}
"""Severity -> name of the test suite."""


def junit_report(report: Mapping[str, Any], fail_on: Severity) -> str:
    """The report as an XML document. `fail_on`: `violation` or `warning`."""
    root = ElementTree.Element("testsuites", name="Flow Service contract")
    told = {entry["id"]: entry for entry in (*report["violations"], *report["warnings"])}
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for severity, name in SUITES.items():
        suite = ElementTree.SubElement(root, "testsuite", name=name)
        _add_properties(suite, report)
        counts = dict.fromkeys(totals, 0)
        for rule in (rule for rule in report["rules"] if rule["severity"] == severity):
            counts["tests"] += 1
            outcome = _add_case(
                suite, rule, told.get(rule["id"]), fails=severity == "violation" or fail_on == "warning"
            )
            if outcome:
                counts[outcome] += 1
        for key, value in counts.items():
            suite.set(key, str(value))
            totals[key] += value
    for key, value in totals.items():
        root.set(key, str(value))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_case(
    suite: ElementTree.Element, rule: Mapping[str, Any], entry: Mapping[str, Any] | None, *, fails: bool
) -> str:
    """Adds a rule; answers which count it belongs to, none when it was kept."""
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"contract.{rule['severity']}",
        name=printable(f"{rule['id']}: {rule['title']}"),
        time="0",
    )
    if entry is None:
        return ""
    summary = printable(f"{counted(entry['count'], 'request')}. {entry['fix']}")
    lines = [f"How to fix it: {entry['fix']}", f"Source: {entry['source']}", ""]
    for finding in entry["findings"]:
        place = f"{finding['place']}: " if finding["place"] else ""
        lines += [f"{place}{finding['message']}", f"  {where(finding)}, {counted(finding['count'], 'time')}"]
    details = printable("\n".join(lines))
    if fails:
        ElementTree.SubElement(case, "failure", message=summary, type=entry["id"]).text = details
        return "failures"
    ElementTree.SubElement(case, "skipped", message=summary)
    ElementTree.SubElement(case, "system-out").text = details
    return "skipped"


def _add_properties(suite: ElementTree.Element, report: Mapping[str, Any]) -> None:
    properties = ElementTree.SubElement(suite, "properties")
    ElementTree.SubElement(properties, "property", name="requests", value=str(report["summary"]["requests"]))
    if told := left_out(report):
        ElementTree.SubElement(properties, "property", name="baseline", value=told)
    for dimension, part in report["summary"]["coverage"].items():
        ElementTree.SubElement(
            properties, "property", name=f"coverage.{dimension}", value=f"{part['met']} of {part['total']}"
        )
