"""The bookkeeping of tools/bench.sh on canned data, and one short real run with nginx."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

from tests.bench.suite import (chart, estimate, load, machine, main, report, rounds, routes, scenarios, servers, targets,
                               tls)

NEEDED = ("scenario", "server", "engine", "connections", "cpu_us_per_request", "user_us", "sys_us",
          "requests_per_second", "p50_us", "p99_us", "p999_us", "rss_kib", "rounds")


def window(requests=1000, proxy_us=990_000, others_us=0, unseen_us=0, softirq_us=0, stolen_us=0, seconds=1.0):
    """What bench_load would report of a window on two cores: proxy 7, load 8, upstream 9."""
    ours = proxy_us + 300_000 + 300_000
    idle = 2 * seconds * 1e6 - ours - others_us - unseen_us - softirq_us - stolen_us
    tick = 1e6 / machine.TICKS_PER_SECOND
    system = (ours + others_us + unseen_us) / tick
    return {
        "seconds": seconds, "requests": requests, "requests_per_second": requests / seconds,
        "p50_us": 100.0, "p99_us": 200.0, "p999_us": 300.0, "failed": 0, "errors": {},
        "processes": {"7": {"cpu_us": proxy_us, "user_ticks": 25, "sys_ticks": 75},
                      "8": {"cpu_us": 300_000, "user_ticks": 1, "sys_ticks": 1},
                      "9": {"cpu_us": 300_000, "user_ticks": 1, "sys_ticks": 1}},
        "others": {"ticks": others_us / tick, "seconds": seconds},
        "processors": [[0, 0, system, idle / tick, 0, 0, softirq_us / tick, stolen_us / tick, 0, 0], [0] * 10],
    }


def a_round(cpu=10.0, disturbed="", **more):
    figures = {**dict.fromkeys(rounds.FIGURES, 1.0), "cpu_us_per_request": cpu}
    return rounds.Round(figures=figures, disturbed=disturbed, **more)


def row(scenario, server, cpu, variant="saturated", connections=64, engine="", **more):
    return {"scenario": scenario, "variant": variant, "server": server, "engine": engine, "connections": connections,
            **rounds.summarize([a_round(cpu)] * 3), **more}


class RoundsTest(unittest.TestCase):
    def test_figures_of_a_window(self):
        result = rounds.figures(window(), [7], 4096)
        self.assertAlmostEqual(result.figures["cpu_us_per_request"], 990.0)
        self.assertAlmostEqual(result.figures["user_us"], 247.5)
        self.assertAlmostEqual(result.figures["sys_us"], 742.5)
        self.assertEqual(result.figures["rss_kib"], 4096)
        self.assertTrue(result.saturated)
        self.assertEqual(result.disturbed, "")

    def test_saturation_is_95_percent_of_the_window(self):
        self.assertTrue(rounds.figures(window(proxy_us=950_000), [7], 0).saturated)
        self.assertFalse(rounds.figures(window(proxy_us=949_000), [7], 0).saturated)

    def test_disturbed_by_other_processes_or_the_hypervisor(self):
        self.assertEqual(rounds.disturbance(window(proxy_us=500_000, others_us=49_000)), "")
        self.assertIn("other processes used 6 %", rounds.disturbance(window(proxy_us=500_000, others_us=60_000)))
        self.assertIn("out of sight used 16 %", rounds.disturbance(window(proxy_us=500_000, unseen_us=160_000)))
        self.assertIn("hypervisor took 6 %", rounds.disturbance(window(proxy_us=500_000, stolen_us=60_000)))

    def test_what_the_kernel_does_for_no_process_is_not_held_against_others(self):
        self.assertEqual(rounds.disturbance(window(proxy_us=500_000, unseen_us=140_000, softirq_us=200_000)), "")

    def test_no_requests_are_no_figure(self):
        result = rounds.figures(window(requests=0), [7], 0)
        self.assertIsNone(result.figures["cpu_us_per_request"])
        self.assertIsNone(rounds.summarize([result])["cpu_us_per_request"])

    def test_a_rate_that_is_not_kept_is_told(self):
        self.assertFalse(rounds.figures(window(), [7], 0, rate=2000).kept_rate)
        self.assertTrue(rounds.figures(window(), [7], 0, rate=1000).kept_rate)

    def test_summary_is_medians_without_disturbed_rounds(self):
        result = rounds.summarize([a_round(10), a_round(99, disturbed="noise"), a_round(12), a_round(11)])
        self.assertEqual(result["cpu_us_per_request"], 11)
        self.assertEqual((result["cpu_us_min"], result["cpu_us_max"], result["cpu_us_mad"]), (10, 12, 1))
        self.assertEqual((result["rounds"], result["rounds_discarded"], result["disturbed"]), (3, 1, False))

    def test_too_few_quiet_rounds_use_all_and_say_so(self):
        result = rounds.summarize([a_round(10), a_round(20, disturbed="noise"), a_round(30, disturbed="noise")])
        self.assertEqual((result["cpu_us_per_request"], result["rounds"], result["disturbed"]), (20, 3, True))

    def test_failures_add_up(self):
        result = rounds.summarize([a_round(failed=1, errors={"status 503": 1}), a_round(failed=2, errors={"status 503": 2})])
        self.assertEqual((result["failed_requests"], result["errors"]), (3, {"status 503": 3}))

    def test_interleaving_with_warm_up_and_repeats(self):
        order, script = [], {"A": ["", "", "", ""], "B": ["", "noise", "", ""]}

        def measure(case):
            order.append(case)
            return a_round(disturbed=script[case].pop(0))

        results = rounds.interleave(["A", "B"], 2, measure, lambda *_: None, most_extra=1)
        self.assertEqual("".join(order), "ABABABB")
        self.assertEqual([len(results[case]) for case in "AB"], [2, 3])


class ReportTest(unittest.TestCase):
    def setUp(self):
        self.rows = [
            row("a", "portico", 10.0, engine="uring", p99_us=5.0), row("a", "portico", 17.0, engine="epoll"),
            row("a", "haproxy", 20.0), row("a", "nginx", 22.0), row("a", "envoy", 70.0),
            row("c", "portico", 19.0, engine="uring"), row("c", "envoy", 120.0),
            row("d", "portico", 10.0, "10 routes", engine="uring"),
            row("d", "portico", 11.0, "100000 routes, random", engine="uring"),
            row("d", "envoy", 4000.0, "100000 routes, random", detail="list"),
            row("e", "portico", None, "idle", 10000, "uring", rss_before_kib=100.0, kib_per_connection=0.9),
            row("f", "portico", 9.0, "rate 20000", engine="uring", p99_steady_us=10.0, p999_steady_us=20.0, p99_ratio=1.3,
                changes=5),
            row("g", "portico", 10.0, "plain", engine="uring"), row("g", "portico", 14.0, "TLS", engine="uring"),
            row("g", "haproxy", 20.0, "plain"), row("g", "haproxy", 30.0, "TLS"),
            row("h", "portico", 240.0, "handshake", 32, "uring"), row("h", "nginx", 300.0, "handshake", 32),
            row("i", "portico", 15.0, "h2", 16, "uring"), row("i", "haproxy", 19.0, "h2", 16),
            row("j", "portico", None, "idle TLS", 2000, "uring", rss_before_kib=100.0, kib_per_connection=14.9),
            row("j", "portico", None, "idle h2 over TLS", 2000, "uring", rss_before_kib=100.0, kib_per_connection=20.1),
        ]
        self.about = {
            "machine": {"processor": "P", "cores": 2, "kernel": "6"}, "proxy_core": 0, "load_core": 1, "rounds": 3,
            "seconds": 1, "versions": {"nginx": "1"}, "scenario_notes": {"c": ["- a note"]}, "failures": ["one"],
            "discarded": [],
        }

    def verdict(self, scenario, words):
        found = [t for t in targets.evaluate(self.rows) if t["scenario"].startswith(scenario) and words in t["target"]]
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_targets(self):
        self.assertEqual(self.verdict("a, saturated", "0.55 of haproxy")["verdict"], targets.MET)
        self.assertEqual(self.verdict("a, saturated", "0.42 of nginx")["verdict"], targets.MISSED)
        self.assertEqual(self.verdict("a, saturated", "0.80 of haproxy")["measured"], "0.85")
        self.assertEqual(self.verdict("a, 1 connection", "p50")["verdict"], targets.UNKNOWN)
        self.assertEqual(self.verdict("c", "plain proxying")["verdict"], targets.MET)
        self.assertEqual(self.verdict("c", "envoy")["measured"], "0.16")
        self.assertEqual(self.verdict("d, 100,000 routes, random", "1.05")["verdict"], targets.MISSED)
        self.assertEqual(self.verdict("e", "1 KiB")["verdict"], targets.MET)
        self.assertEqual(self.verdict("f", "1.2")["verdict"], targets.MISSED)
        self.assertFalse([t for t in targets.evaluate(self.rows) if t["scenario"].startswith("b")])
        self.assertEqual(self.verdict("g", "haproxy")["measured"], "0.40 (4.0 us, haproxy 10.0 us)")
        self.assertEqual(self.verdict("g", "haproxy")["verdict"], targets.MET)
        self.assertEqual(self.verdict("h", "nginx")["verdict"], targets.MISSED)
        self.assertEqual(self.verdict("i", "haproxy")["measured"], "0.79")
        self.assertEqual(self.verdict("i", "envoy")["verdict"], targets.UNKNOWN)
        self.assertEqual(self.verdict("j, idle TLS", "15 KiB")["verdict"], targets.MET)
        self.assertEqual(self.verdict("j, idle h2", "20 KiB")["verdict"], targets.MISSED)

    def test_markdown(self):
        text = report.markdown(self.rows, targets.evaluate(self.rows), self.about)
        self.assertIn("| portico uring | 10.0 (0.5/0.5) | 10.0-10.0 | 0.50 |".replace("0.5/0.5", "1.0/1.0"), text)
        self.assertIn("| envoy, list | 4,000.0", text)
        self.assertIn("## Left out\n\n- one", text)
        self.assertIn("- a note", text)
        for line in text.split("\n"):
            if line.startswith("|"):
                self.assertTrue(line.endswith("|"), line)

    def test_chart_is_xml_with_a_bar_for_each_row(self):
        root = xml.etree.ElementTree.fromstring(chart.svg(self.rows))
        texts = [element.text for element in root.iter() if element.tag.endswith("text")]
        self.assertIn("envoy, list", texts)
        self.assertTrue(any("(cut)" in text for text in texts if text))

    def test_rows_have_the_promised_figures(self):
        for each in self.rows:
            self.assertFalse([name for name in NEEDED if name not in each])
        self.assertEqual(json.loads(json.dumps(self.rows)), self.rows)

    def test_nothing_measured_still_reports(self):
        self.assertIn("# Portico beside others", report.markdown([], targets.evaluate([]), self.about))
        xml.etree.ElementTree.fromstring(chart.svg([]))


class ConfigurationTest(unittest.TestCase):
    def test_command_line(self):
        options = main.parse(["--scenario", "a,c", "--peers", "haproxy,nginx", "--rounds", "3"])
        self.assertEqual((options.scenario, options.peers, options.rounds), (["a", "c"], ["haproxy", "nginx"], 3))
        self.assertEqual(main.parse([]).scenario, list("abcdefghij"))
        self.assertEqual(main.parse(["--peers", "none"]).peers, [])
        self.assertEqual(main.parse(["--quick"]).peers, ["haproxy", "nginx", "envoy"])
        with self.assertRaises(SystemExit):
            main.parse(["--scenario", "z"])

    def test_three_rounds_of_everything_fit_into_25_minutes_though_one_in_three_is_measured_again(self):
        options = main.parse(["--rounds", "3"])
        quiet = estimate.minutes(options, scenarios.ENGINES, ["haproxy", "nginx", "envoy"])
        self.assertEqual(options.extra_rounds, 1)
        # What is measured once, starts and idle connections among it, is not measured again.
        once = estimate.minutes(main.parse(["--rounds", "3", "--scenario", "e,f,j"]), scenarios.ENGINES,
                                ["haproxy", "nginx", "envoy"])
        self.assertLess(once + (quiet - once) * 5 / 4, 25)
        self.assertGreater(quiet, 10)
        self.assertLess(estimate.minutes(main.parse(["--quick"]), scenarios.ENGINES, ["haproxy", "nginx", "envoy"]), 9)
        part = main.parse(["--scenario", "a", "--rounds", "3"])
        self.assertLess(estimate.minutes(part, ["uring"], ["haproxy"]), 2)

    def test_figures_of_h2load(self):
        output = ("finished in 2.00s, 500.00 req/s, 1.00MB/s\n"
                  "requests: 1000 total, 1032 started, 1000 done, 998 succeeded, 2 failed, 0 errored, 0 timeout\n"
                  "status codes: 998 2xx, 0 3xx, 0 4xx, 2 5xx\n")
        figures = load.h2load_figures(output, 2.0)
        self.assertEqual((figures["requests"], figures["requests_per_second"]), (998, 499))
        self.assertEqual((figures["failed"], figures["errors"]), (2, {"status 5xx": 2}))
        with self.assertRaises(load.LoadError):
            load.h2load_figures("no", 1)

    def test_requests_go_with_headers_in_turn(self):
        lines = routes.requests(range(3), [["A: 1"], ["A: 2", "B: 3"]]).splitlines()
        self.assertEqual(lines[1], routes.path(1) + "\tA: 2\tB: 3")
        self.assertTrue(lines[2].endswith("\tA: 1"))

    def test_tables_have_a_route_for_each_number(self):
        self.assertEqual(routes.portico(50).count("kind: Route"), 50)
        self.assertEqual(routes.nginx(50).count("location "), 50)
        listed = json.loads(routes.envoy(50))["resources"][0]["virtual_hosts"][0]["routes"]
        self.assertEqual(len(listed), 50)
        self.assertNotEqual(routes.portico(1, 1), routes.portico(1, 2))

    def test_every_placeholder_is_known(self):
        known = {"PORT", "UPSTREAM_PORT", "DIR", "ROUTES", "ISSUER", "AUDIENCE", "JWKS", "TIMEOUT",
                 "TLS_PORT", "CHAIN_FILE", "KEY_FILE", "PAIR", "CHAIN", "KEY"}
        for folder, _, files in os.walk(servers.PEERS_FOLDER):
            for name in files:
                with open(os.path.join(folder, name)) as f:
                    rest = servers.fill(f.read(), dict.fromkeys(known, ""))
                self.assertNotRegex(rest, r"@[A-Z_]+@", f"{folder}/{name}")


class RealRunTest(unittest.TestCase):
    """bench_load and bench_upstream, alone and around nginx."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.tool = "tests/bench/load/bench_load"
        self.upstream = load.Upstream("tests/bench/load/bench_upstream", None)
        self.addCleanup(self.upstream.stop)

    def check(self, report_of_run, least=50):
        self.assertEqual((report_of_run["failed"], report_of_run["errors"]), (0, {}))
        self.assertGreater(report_of_run["requests"], least)
        self.assertLessEqual(report_of_run["p50_us"], report_of_run["p99_us"])
        self.assertLessEqual(report_of_run["p99_us"], report_of_run["p999_us"])

    def test_bodies_of_every_size_arrive_whole(self):
        for path, size in (("/", 12), ("/16k", 16 << 10), ("/1m", 1 << 20)):
            result = load.run(self.tool, None, self.upstream.port, [], 0.2, connections=4, path=path)
            self.check(result, least=3)
            # A body is counted with its head: up to one for each connection lies across an edge of the window.
            self.assertAlmostEqual(result["body_bytes"], result["requests"] * size, delta=4 * size)

    def test_a_fixed_rate_is_kept(self):
        result = load.run(self.tool, None, self.upstream.port, [], 1, connections=16, rate=500)
        self.check(result)
        self.assertAlmostEqual(result["requests_per_second"], 500, delta=150)

    def test_what_other_processes_use_is_told_also_of_those_that_come_and_go(self):
        for command in ("while :; do :; done", "while :; do /bin/true; done"):
            other = subprocess.Popen(["/bin/sh", "-c", command])
            try:
                result = load.run(self.tool, None, self.upstream.port, [], 0.5, connections=1)
            finally:
                other.kill()
                other.wait()
            share = result["others"]["ticks"] / machine.TICKS_PER_SECOND / result["others"]["seconds"]
            self.assertGreater(share, 0.05, command)

    def test_the_floor_is_measured(self):
        programs = {"bench_load": self.tool, "bench_upstream": "tests/bench/load/bench_upstream"}
        self.assertGreater(scenarios.one_side_us(programs, None, None, 0.2, windows=1), 0.5)

    def test_idle_connections_rest_until_closed(self):
        idle = load.IdleConnections(self.tool, None, self.upstream.port, 500)
        idle.close()
        self.assertEqual(idle.process.returncode, 0)

    def test_what_cannot_be_reached_is_an_error(self):
        result = load.run(self.tool, None, servers.free_port(), [], 0.1, connections=1)
        self.assertEqual(result["requests"], 0)
        self.assertGreater(result["errors"]["connect"], 0)
        with self.assertRaises(load.LoadError):
            load.run(self.tool, None, self.upstream.port, [], 0.1, requests_file=os.path.join(self.folder, "none"))

    def test_nginx(self):
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        self.assertIsNotNone(nginx, "tools/setup.sh installs nginx-light")
        starter = servers.Starter({"nginx": nginx}, self.folder, None, self.upstream.port)
        server = starter.start("nginx")
        self.addCleanup(server.stop)
        server.wait_until_it_answers()
        result = rounds.figures(
            load.run(self.tool, None, server.port, [*server.pids, self.upstream.pid], 1, connections=8),
            server.pids, server.rss_kib())
        self.assertEqual((result.failed, result.errors), (0, {}))
        self.assertGreater(result.figures["cpu_us_per_request"], 1)
        self.assertGreater(result.figures["rss_kib"], 1000)
        made = {"scenario": "a", "variant": "saturated", "server": "nginx", "engine": "", "connections": 8,
                **rounds.summarize([result])}
        self.assertFalse([name for name in NEEDED if name not in made])

    def test_nginx_over_tls(self):
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        starter = servers.Starter({"nginx": nginx}, self.folder, None, self.upstream.port)
        server = starter.start("nginx", kind="tls", tls=True, **tls.Certificate(self.folder).values())
        self.addCleanup(server.stop)
        server.wait_until_it_answers()
        kept = load.run(self.tool, None, server.tls_port, [], 0.5, connections=4, tls=True)
        self.check(kept)
        self.assertEqual(kept["reopened"], 0)
        closed = load.run(self.tool, None, server.tls_port, [], 0.5, connections=4, tls=True, close=True)
        self.check(closed, least=10)
        self.assertGreaterEqual(closed["reopened"], closed["requests"] - 4)
        self.check(load.run(self.tool, None, server.tls_port, [], 0.5, connections=4, tls=True, path="/16k"), least=3)
        load.IdleConnections(self.tool, None, server.tls_port, 20, tls=True).close()
        tls.Http2Connections(server.tls_port, 20).close()

    def test_h2load_on_nginx(self):
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        starter = servers.Starter({"nginx": nginx}, self.folder, None, self.upstream.port)
        server = starter.start("nginx", kind="tls", tls=True, **tls.Certificate(self.folder).values())
        self.addCleanup(server.stop)
        server.wait_until_it_answers()
        report_of_run = load.around(
            "tests/bench/load/bench_around", None, server.pids,
            ["h2load", "-c2", "-m8", "-D1", "--npn-list=h2", f"https://127.0.0.1:{server.tls_port}/"], 60)
        figures = load.h2load_figures(report_of_run["output"], report_of_run["seconds"])
        self.assertEqual(figures["failed"], 0)
        self.assertGreater(figures["requests"], 20)
        self.assertGreater(report_of_run["processes"][str(server.pids[0])]["cpu_us"], 1000)
        with self.assertRaises(load.LoadError):
            load.around("tests/bench/load/bench_around", None, [], ["/bin/false"], 10)


if __name__ == "__main__":
    unittest.main()
