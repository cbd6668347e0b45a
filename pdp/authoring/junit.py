"""Results of policy tests as JUnit XML, which every CI reads."""

from __future__ import annotations

from itertools import groupby
from xml.etree import ElementTree as ET

from pdp.policy import gate


def junit(report: gate.TestReport) -> str:
    """One suite per file, one case per test; what kept tests from running is an error of its own."""
    root = ET.Element("testsuites", name="pdp policy test")
    for path, results in groupby(sorted(report.results, key=lambda r: (r.path, r.line)), key=lambda r: r.path):
        _suite(root, path, list(results))
    if report.faults:
        suite = ET.SubElement(root, "testsuite", name="load", tests=str(len(report.faults)), failures="0")
        suite.set("errors", str(len(report.faults)))
        for fault in report.faults:
            case = ET.SubElement(suite, "testcase", classname="load", name=fault.code, file=fault.path)
            ET.SubElement(case, "error", type=fault.code, message=_clean(fault.message))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, path: str, results: list[gate.TestResult]) -> None:
    failures = sum(not r.passed and not r.error for r in results)
    errors = sum(not r.passed and bool(r.error) for r in results)
    suite = ET.SubElement(root, "testsuite", name=path, tests=str(len(results)))
    suite.set("failures", str(failures))
    suite.set("errors", str(errors))
    for result in results:
        package, _, name = result.name.rpartition(".")
        case = ET.SubElement(suite, "testcase", classname=package, name=name, file=path, line=str(result.line))
        if not result.passed:
            kind = "error" if result.error else "failure"
            ET.SubElement(case, kind, message=_clean(result.error or "It is not true."), type=f"test.{kind}")


def _clean(text: str) -> str:
    """Without what XML 1.0 cannot carry."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
