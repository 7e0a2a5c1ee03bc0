#!/usr/bin/python3
"""cvm-cli eval and fmt as a shell sees them: exit statuses, places, queries, layout.

usage: test_rego_cli.py CVM_CLI
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

CLI = sys.argv.pop(1)


class RegoCli(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_cli(self, status, *args, stdin=""):
        done = subprocess.run([CLI, *args], capture_output=True, text=True, input=stdin, timeout=60)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def test_verdicts(self):
        policy = self.file("p.rego", 'match { input.a == 1 }\nexport := {"b": {2, 1}}\nexportOnMatch := {"n": time.now_ns()}\n')
        yes, no = self.file("yes.json", '{"a": 1.0}'), self.file("no.json", '{"a": 2}')
        done = self.run_cli(0, "eval", policy, "--input", yes, "--now-ns", "7")
        self.assertEqual(done.stdout, '{"matched":true,"policy_defined_claims":{"b":[1,2],"n":7}}\n')
        done = self.run_cli(1, "eval", policy, "--input", no, "--json")
        self.assertEqual(json.loads(done.stdout), {"matched": False, "policy_defined_claims": {"b": [1, 2]}})
        self.run_cli(0, "eval", policy, "--input", "-", stdin='{"a":1}')
        self.assertEqual(self.run_cli(1, "eval", policy).stderr, "")

    def test_several_policies(self):
        a = self.file("a.rego", 'match { input.a }\nexport := {"x": 1}')
        b = self.file("b.rego", 'match { input.b }\nexport := {"y": 2}')
        c = self.file("c.rego", 'match { true }\nexport := {"x": 2}')
        claims = self.file("i.json", '{"a": 1}')
        done = self.run_cli(1, "eval", a, b, "--input", claims)
        self.assertEqual(json.loads(done.stdout), {"matched": False, "policy_defined_claims": {"x": 1, "y": 2}})
        self.assertIn("give the claim x different values", self.run_cli(4, "eval", a, c, "--input", claims).stderr)
        self.run_cli(2, "eval", *[a] * 11)

    def test_refusals_and_errors(self):
        bad = self.file("bad.rego", 'match {\n\tinput.a == "x\n}\n')
        done = self.run_cli(3, "eval", bad)
        first, line, caret = done.stderr.splitlines()
        self.assertTrue(first.startswith(f"cvm-cli: {bad}: policy refused: 2:13: "), first)
        self.assertEqual((line, caret), (' input.a == "x', " " * 12 + "^"))
        self.assertEqual(done.stdout, "")
        conflict = self.file("conflict.rego", "match = true\nmatch = false\n")
        self.assertIn("2:1: complete rules must not produce multiple outputs", self.run_cli(4, "eval", conflict).stderr)
        good = self.file("good.rego", "# why\nmatch { true }\n")
        self.assertIn("1:1: comments", self.run_cli(3, "eval", good, "--strict").stderr)
        self.assertIn("not JSON", self.run_cli(3, "eval", good, "--input", bad).stderr)
        self.run_cli(3, "eval", os.path.join(self.folder.name, "none"))
        self.run_cli(2, "eval")
        self.run_cli(2, "eval", good, "--now-ns", "soon")
        self.run_cli(2, "eval", good, "--data", good)

    def test_queries(self):
        one = self.file("one.rego", "package a.b\nimport rego.v1\np contains x if some x in input.xs\nu if false\n")
        two = self.file("two.rego", "package c\nimport data.a.b as other\nq = count(other.p) + data.base.k\n")
        data, claims = self.file("d.json", '{"base": {"k": 18446744073709551615}}'), self.file("i.json", '{"xs": [3, 1, 3]}')

        def query(text, status=0):
            return self.run_cli(status, "eval", one, two, "--query", text, "--data", data, "--input", claims).stdout

        self.assertEqual(query("data.a.b.p"), "[1,3]\n")
        self.assertEqual(query("data.c.q"), "18446744073709551617\n")
        self.assertEqual(query("data.a.b.u"), "undefined\n")
        self.assertEqual(query("data.base"), '{"k":18446744073709551615}\n')
        self.assertEqual(query("data.a"), '{"b":{"p":[1,3]}}\n')
        self.assertEqual(query("data.a.", 3), "")

    def test_explain_and_bench(self):
        policy = self.file("p.rego", "match {\n\tinput.svn >= 3\n}\n")
        claims = self.file("i.json", '{"svn": 2}')
        done = self.run_cli(1, "eval", policy, "--input", claims, "--explain")
        self.assertIn("2:2: input.svn >= 3: 2 >= 3 is false\n", done.stderr)
        self.assertEqual(json.loads(done.stdout)["matched"], False)
        done = self.run_cli(1, "eval", policy, "--input", claims, "--explain", "--json")
        self.assertIn("2:2: input.svn >= 3: 2 >= 3 is false", json.loads(done.stdout)["explain"])
        self.assertIn("evaluate", self.run_cli(0, "eval", policy, "--input", claims, "--bench").stdout)

    def test_format(self):
        text = "import   rego.v1\n# one\nmatch   if{ input.a==1;\n input.b  # two\n}\nexport:={\n'x'".replace("'", '"') + ":1}\n"
        want = ('import rego.v1\n\n# one\nmatch if {\n\tinput.a == 1\n\tinput.b # two\n}\n\nexport := {\n\t"x": 1,\n}\n')
        once = self.run_cli(0, "fmt", self.file("f.rego", text)).stdout
        self.assertEqual(once, want)
        self.assertEqual(self.run_cli(0, "fmt", self.file("g.rego", once)).stdout, once)
        # What a second reading would take for another thing is written so that it is not.
        for odd in ("p[x] { x := 1 }\n({\"l\": 1})\n", "p[x] { x := 1 }\n({y | y := 1}) == 2\n", "p[x]\np := 1\np := 1\n", "p { 5; -27 }\n",
                    " 9;-27# p", 'p ["h"]\n', "{mp}.as\n", "p if {n | g: s,\n}\n", "p if {n | g,\n}\n",
                    "p := {a | b & c, d}\n", "p := {1: a | b, 2: 3}\n", "p := [a | b == c,]\n"):
            once = self.run_cli(0, "fmt", self.file("f.rego", odd)).stdout
            self.assertEqual(self.run_cli(0, "fmt", self.file("g.rego", once)).stdout, once, odd)
        self.assertIn("1:7:", self.run_cli(3, "fmt", self.file("h.rego", "x := [")).stderr)
        self.assertEqual(self.run_cli(0, "fmt", self.file("e.rego", "")).stdout, "")


unittest.main()
