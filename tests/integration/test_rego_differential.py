#!/usr/bin/python3
"""Generated small programs through cvm-cli eval and through a naive evaluator: both say the same.

usage: test_rego_differential.py CVM_CLI [PROGRAMS] [SEED]
"""
import json
import os
import random
import subprocess
import sys
import tempfile

from rego_naive import Conflict, FunctionConflict, Naive, from_json, to_json

INPUT = {
    "nums": [3, 1, 2, 3], "names": ["a", "b", "a"], "o": {"a": 1, "b": {"c": 2, "a": 3}, "z": [1, "a", None]},
    "flag": True, "off": False, "nil": None, "rows": [{"k": "a", "v": 1}, {"k": "b", "v": 2}, {"k": "a", "v": 3}],
    "deep": [[1, 2], [3, [4, 5]], []],
}
OPS = ["==", "!=", "<", "<=", ">", ">="]


def constant(v):
    return ("const", from_json(v))


class Writer:
    """Programs as Rego text."""

    def term(self, t):
        kind = t[0]
        if kind == "const":
            return json.dumps(to_json(t[1]))
        if kind in ("var", "rule"):
            return t[1]
        if kind == "wild":
            return "_"
        if kind == "input":
            return "input"
        if kind == "ref":
            return self.term(t[1]) + "".join(f"[{self.term(k)}]" for k in t[2])
        if kind == "arr":
            return "[" + ", ".join(map(self.term, t[1])) + "]"
        if kind == "set":
            return "{" + ", ".join(map(self.term, t[1])) + "}" if t[1] else "set()"
        if kind == "obj":
            return "{" + ", ".join(f"{self.term(k)}: {self.term(v)}" for k, v in t[1]) + "}"
        if kind == "op":
            return f"({self.term(t[2])} {t[1]} {self.term(t[3])})"
        if kind == "count":
            return f"count({self.term(t[1])})"
        if kind == "in":
            return f"({self.term(t[1])} in {self.term(t[2])})"
        if kind == "call":
            return f"{t[1]}({', '.join(map(self.term, t[2]))})"
        body = "; ".join(map(self.literal, t[2]))
        if kind == "objof":
            return f"{{{self.term(t[1][0])}: {self.term(t[1][1])} | {body}}}"
        return ("[%s | %s]" if kind == "arrof" else "{%s | %s}") % (self.term(t[1][0]), body)

    def literal(self, lit):
        kind = lit[0]
        if kind == "is":
            text = self.term(lit[1])
            return text[1:-1] if lit[1][0] == "op" else text
        if kind == "unify":
            return f"{self.term(lit[1])} = {self.term(lit[2])}"
        if kind == "some":
            key = self.term(lit[1]) + ", " if lit[1] else ""
            return f"some {key}{self.term(lit[2])} in {self.term(lit[3])}"
        if kind == "not":
            return "not " + self.literal(lit[1])
        return f"every {lit[1]} in {self.term(lit[2])} {{ {'; '.join(map(self.literal, lit[3]))} }}"

    def rule(self, r, rng):
        name = r["name"]
        if r.get("default"):
            return f"default {name} := {self.term(r['head'][0])}"
        body = list(r["body"])
        if not any(lit[0] == "some" for lit in body):
            rng.shuffle(body)   # the engine must find the order; "some" declares for what follows
        text = "; ".join(map(self.literal, body)) or "true"
        if r["kind"] == "set":
            return f"{name} contains {self.term(r['head'][0])} if {{ {text} }}"
        if r["kind"] == "object":
            return f"{name}[{self.term(r['head'][0])}] := {self.term(r['head'][1])} if {{ {text} }}"
        args = f"({', '.join(r['args'])})" if "args" in r else ""
        out = f"{name}{args} := {self.term(r['head'][0])} if {{ {text} }}"
        for other in r.get("else", []):
            body = "; ".join(map(self.literal, other["body"])) or "true"
            out += f" else := {self.term(other['head'][0])} if {{ {body} }}"
        return out


class Generator:
    def __init__(self, rng):
        self.rng, self.rules, self.functions, self.fresh = rng, [], [], 0

    def var(self):
        self.fresh += 1
        return f"v{self.fresh}"

    def scalar(self):
        return constant(self.rng.choice([0, 1, 2, 3, 4, "a", "b", "c", "k", True, False, None]))

    def collection(self, bound, depth=0):
        choice = self.rng.randrange(7)
        if choice == 0 and self.rules:
            return ("rule", self.rng.choice(self.rules))
        if choice == 1 and depth < 2:
            return ("arr", [self.simple(bound) for _ in range(self.rng.randrange(4))])
        if choice == 2 and depth < 2:
            return ("set", [self.simple(bound) for _ in range(self.rng.randrange(4))])
        if choice == 3 and depth < 1:
            return self.comprehension(bound)
        return ("ref", ("input",), [constant(self.rng.choice(list(INPUT)))])

    def simple(self, bound):
        choice = self.rng.randrange(6)
        if choice < 3 and bound:
            return ("var", self.rng.choice(sorted(bound)))
        if choice == 3:
            return ("ref", ("input",), [constant(self.rng.choice(list(INPUT))), self.scalar()])
        return self.scalar()

    # literals of another type are refused when loading: these are numbers and sets, or what is known only later
    def number(self, bound):
        t = self.simple(bound)
        return constant(self.rng.randrange(5)) if t[0] == "const" and t[1][0] != "num" else t

    def set_like(self, bound, depth):
        t = self.collection(bound, depth)
        return ("set", t[1]) if t[0] == "arr" else ("setof", *t[1:]) if t[0] == "arrof" else t

    def comprehension(self, bound):
        inner, body = set(bound), []
        for _ in range(self.rng.randrange(1, 3)):
            body.append(self.literal(inner, 2))
        kind = self.rng.choice(["arrof", "setof", "setof"])
        return (kind, [self.simple(inner)], body)

    def value(self, bound, depth=0):
        choice = self.rng.randrange(9)
        if choice < 3:
            return self.simple(bound)
        if choice == 3:
            return ("op", self.rng.choice("+-*"), self.number(bound), self.number(bound))
        if choice == 4:
            return ("op", self.rng.choice("-&|"), self.set_like(bound, depth), self.set_like(bound, depth))
        if choice == 5:
            return ("count", self.collection(bound, depth))
        if choice == 6:
            return ("in", self.simple(bound), self.collection(bound, depth))
        if choice == 7 and self.functions:
            name, arity = self.rng.choice(self.functions)
            return ("call", name, [self.simple(bound) for _ in range(arity)])
        return ("op", self.rng.choice(OPS), self.simple(bound), self.simple(bound))

    def literal(self, bound, depth=0):
        """A literal that is safe after the variables bound so far; it may bind more."""
        choice = self.rng.randrange(10)
        new = self.var()
        if choice < 2:
            keys = [("var", new)]
            if self.rng.random() < 0.3:
                keys.append(self.rng.choice([("wild",), self.scalar(), ("var", self.var())]))
            lit = ("unify", ("var", self.var()), ("ref", self.collection(bound, depth), keys))
            bound.update(k[1] for k in keys if k[0] == "var")
            bound.add(lit[1][1])
            return lit
        if choice == 2:
            key = ("var", self.var()) if self.rng.random() < 0.5 else None
            lit = ("some", key, ("var", new), self.collection(bound, depth))
            bound.add(new)
            if key:
                bound.add(key[1])
            return lit
        if choice < 5:
            lit = ("unify", ("var", new), self.value(bound, depth))
            bound.add(new)
            return lit
        if choice == 5:
            lit = ("unify", ("arr", [("var", new), self.rng.choice([("wild",), self.simple(bound)])]), self.collection(bound, depth))
            bound.add(new)
            return lit
        if choice == 6:
            return ("not", ("is", ("op", self.rng.choice(OPS), self.simple(bound), self.simple(bound))))
        if choice == 7 and depth < 2:
            inner = set(bound) | {new}
            return ("every", new, self.collection(bound, depth),
                    [("is", ("op", self.rng.choice(OPS), ("var", new), self.simple(inner)))])
        return ("is", ("op", self.rng.choice(OPS), self.value(bound, depth), self.value(bound, depth)))

    def body(self, bound, most=4):
        return [self.literal(bound) for _ in range(self.rng.randrange(1, most))]

    def rule(self, number):
        kind = self.rng.choice(["complete", "complete", "set", "object", "function"])
        name, out = f"r{number}", []
        args = [f"x{i}" for i in range(self.rng.randrange(1, 3))] if kind == "function" else None
        for _ in range(self.rng.randrange(1, 3)):
            bound = set(args or [])
            r = {"name": name, "kind": "complete" if kind == "function" else kind, "body": self.body(bound)}
            if args:
                r["args"] = args
            r["head"] = [self.simple(bound)] if kind in ("complete", "set") else [self.value(bound, 1)]
            if kind == "object":
                r["head"] = [constant(self.rng.choice("abc")), self.simple(bound)]
            if kind in ("complete", "function") and self.rng.random() < 0.3:
                other = set(args or [])
                r["else"] = [{"body": self.body(other, 3), "head": [self.simple(other)]}]
            out.append(r)
        if kind == "complete" and self.rng.random() < 0.4:
            out.append({"name": name, "kind": "complete", "default": True, "head": [self.scalar()], "body": []})
        (self.functions if args else self.rules).append((name, len(args)) if args else name)
        return out


def ask(cli, text, query):
    with tempfile.TemporaryDirectory() as folder:
        policy, claims = os.path.join(folder, "p.rego"), os.path.join(folder, "i.json")
        with open(policy, "w", encoding="utf-8") as file:
            file.write(text)
        with open(claims, "w", encoding="utf-8") as file:
            json.dump(INPUT, file)
        return subprocess.run([cli, "eval", policy, "--query", query, "--input", claims], capture_output=True, text=True,
                              timeout=60)


def same(a, b):
    """JSON values: 1 and True differ."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def one(cli, seed, totals):
    rng = random.Random(seed)
    generator = Generator(rng)
    rules = [r for number in range(rng.randrange(2, 6)) for r in generator.rule(number)]
    text = "package t\n\nimport rego.v1\n\n" + "\n".join(Writer().rule(r, rng) for r in rules) + "\n"
    naive = Naive(rules, from_json(INPUT))
    for name in generator.rules:   # in the order of definition: a conflict shows in the first rule that has it
        try:
            value = naive.rule(name)
        except FunctionConflict:
            return None
        except Conflict:
            done = ask(cli, text, f"data.t.{name}")
            totals["conflicts"] += 1
            if done.returncode != 4:
                return f"a conflict in {name} was not found: exit {done.returncode} {done.stdout}{done.stderr}\n{text}"
            return None
        done = ask(cli, text, f"data.t.{name}")
        if done.returncode != 0:
            return f"{name}: exit {done.returncode}: {done.stderr}\n{text}"
        got = done.stdout.strip()
        if value is None:
            totals["undefined"] += 1
            if got != "undefined":
                return f"{name}: got {got}, want undefined\n{text}"
        elif got == "undefined" or not same(json.loads(got), to_json(value)):
            return f"{name}: got {got}, want {json.dumps(to_json(value))}\n{text}"
        else:
            totals["values"] += 1
    return None


def main():
    cli, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 400
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    totals, failed = {"values": 0, "undefined": 0, "conflicts": 0}, 0
    for seed in range(first, first + count):
        why = one(cli, seed, totals)
        if why:
            failed += 1
            print(f"program {seed}: {why}")
    print(f"{count} programs: {totals}, {failed} differ")
    enough = totals["values"] > count and totals["undefined"] > count // 20
    return 0 if not failed and enough else 1


sys.exit(main())
