"""The files under deploy/ are what their programs accept."""

import json
import os
import subprocess
import tempfile
import unittest


def run(*command, **variables):
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=30,
                          check=False)
    return done.returncode, done.stdout + done.stderr


class DeployTest(unittest.TestCase):
    def test_prometheus(self):
        for kind, name in (("rules", "portico.rules.yml"), ("config", "prometheus.yml")):
            code, output = run("promtool", "check", kind, f"deploy/prometheus/{name}")
            self.assertEqual(code, 0, output)

    def test_alerts_fire(self):
        test = {
            "rule_files": [os.path.abspath("deploy/prometheus/portico.rules.yml")],
            "evaluation_interval": "30s",
            "tests": [{
                "interval": "30s",
                "input_series": [
                    {"series": 'portico_control_revision{job="portico-control", instance="c"}', "values": "7x20"},
                    {"series": 'portico_config_revision{job="portico-proxy", instance="a"}', "values": "7x20"},
                    {"series": 'portico_config_revision{job="portico-proxy", instance="b"}', "values": "6x20"},
                    {"series": 'up{job="portico-proxy", instance="b"}', "values": "0x20"},
                    {"series": 'portico_requests_total{code_class="5xx"}', "values": "0+10x20"},
                    {"series": 'portico_requests_total{code_class="2xx"}', "values": "0+90x20"},
                ],
                "alert_rule_test": [
                    {"eval_time": "8m", "alertname": name, "exp_alerts": alerts} for name, alerts in (
                        ("PorticoProxyBehind", [{
                            "exp_labels": {"severity": "warning", "job": "portico-proxy", "instance": "b"},
                            "exp_annotations": {"summary": "b has served an old revision for two minutes."}}]),
                        ("PorticoProxyDown", [{
                            "exp_labels": {"severity": "critical", "job": "portico-proxy", "instance": "b"},
                            "exp_annotations": {"summary": "The proxy b does not answer."}}]),
                        ("PorticoErrors", [{
                            "exp_labels": {"severity": "critical"},
                            "exp_annotations": {"summary": "More than 5 % of all requests end with 5xx."}}]),
                        ("PorticoRevisionRejected", []),
                    )],
            }],
        }
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump(test, file)  # JSON is YAML.
            file.flush()
            code, output = run("promtool", "test", "rules", file.name)
        self.assertEqual(code, 0, output)

    def test_haproxy(self):
        code, output = run("/usr/sbin/haproxy", "-c", "-f", "deploy/haproxy/haproxy.cfg",
                           PORTICO_BIND="127.0.0.1:8000",
                           PORTICO_PROXY_1="127.0.0.1:8081", PORTICO_PROXY_2="127.0.0.1:8082",
                           PORTICO_ADMIN_1="127.0.0.1", PORTICO_ADMIN_2="127.0.0.1",
                           PORTICO_ADMIN_PORT_1="9901", PORTICO_ADMIN_PORT_2="9902")
        self.assertEqual(code, 0, output)

    def test_grafana(self):
        with open("deploy/grafana/portico.json", encoding="utf-8") as file:
            dashboard = json.load(file)
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))

    def test_systemd(self):
        for name in ("portico-control", "portico-proxy"):
            with open(f"deploy/systemd/{name}.service", encoding="utf-8") as file:
                text = file.read()
            for section in ("[Unit]", "[Service]", "[Install]", "Restart=always", "NoNewPrivileges=yes"):
                self.assertIn(section, text)


if __name__ == "__main__":
    unittest.main()
