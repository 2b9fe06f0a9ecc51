"""The alert rules name metrics that are exposed, and recipes that stand in the runbook."""

from __future__ import annotations

import re

import yaml

from tests.deploy.manifests import DEPLOY, ROOT

RULES = [rule for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
SUFFIXES = r"_(bucket|sum|count)$"


def test_every_metric_of_a_rule_is_on_the_page_of_metrics():
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    documented = set(re.findall(r"^\| `(mmplatform_\w+)`", page, re.MULTILINE))
    for rule in RULES:
        named = {re.sub(SUFFIXES, "", name) for name in re.findall(r"mmplatform_\w+", rule["expr"])}
        assert named, rule["alert"]
        assert named <= documented, rule["alert"]


def test_every_rule_leads_to_a_recipe_of_the_runbook():
    text = (ROOT / "docs" / "how-to" / "runbook.md").read_text()
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", text, re.MULTILINE)}
    for rule in RULES:
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert path == "docs/how-to/runbook.md"
        assert anchor in titles, rule["alert"]


def test_a_false_receipt_alerts_at_once():
    [rule] = [rule for rule in RULES if "mmplatform_canary_false_receipts_total" in rule["expr"]]
    assert rule["labels"] == {"severity": "critical"}
    assert "for" not in rule
    assert rule["expr"].endswith("> 0")
