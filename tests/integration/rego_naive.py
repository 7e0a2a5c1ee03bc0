"""A naive evaluator of a small part of Rego, for comparing with: it searches all bindings, in the order in which the
generator wrote the expressions, with no compiler, no index and no reordering. Written from the language's rules only.

Values are tagged tuples: ("null",), ("bool", b), ("num", Fraction), ("str", s), ("arr", items), ("obj", pairs), ("set",
items), with pairs and sets sorted. Programs are lists of rules; terms and literals are tuples as well.
"""
from fractions import Fraction
from functools import cmp_to_key

RANK = {"null": 0, "bool": 1, "num": 3, "str": 4, "arr": 5, "obj": 6, "set": 7}


class Conflict(Exception):
    pass


class FunctionConflict(Conflict):
    """Whether it shows depends on the order of expressions: another one may fail before the call is made."""


def compare(a, b):
    if a[0] != b[0]:
        return -1 if RANK[a[0]] < RANK[b[0]] else 1
    if a[0] == "null":
        return 0
    if a[0] == "str":
        x, y = a[1].encode(), b[1].encode()
        return (x > y) - (x < y)
    if a[0] in ("bool", "num"):
        return (a[1] > b[1]) - (a[1] < b[1])
    for x, y in zip(a[1], b[1]):
        if a[0] == "obj":
            c = compare(x[0], y[0]) or compare(x[1], y[1])
        else:
            c = compare(x, y)
        if c:
            return c
    return (len(a[1]) > len(b[1])) - (len(a[1]) < len(b[1]))


KEY = cmp_to_key(compare)


def make_set(items):
    out = []
    for item in sorted(items, key=KEY):
        if not out or compare(out[-1], item) != 0:
            out.append(item)
    return ("set", tuple(out))


def make_object(pairs):
    out = {}
    for k, v in pairs:
        if k in out and out[k] != v:
            raise Conflict("two values for one key")
        out[k] = v
    return ("obj", tuple(sorted(out.items(), key=lambda kv: KEY(kv[0]))))


def from_json(v):
    if v is None:
        return ("null",)
    if isinstance(v, bool):
        return ("bool", v)
    if isinstance(v, int):
        return ("num", Fraction(v))
    if isinstance(v, str):
        return ("str", v)
    if isinstance(v, list):
        return ("arr", tuple(from_json(x) for x in v))
    return make_object((from_json(k), from_json(x)) for k, x in v.items())


def to_json(v):
    if v[0] == "null":
        return None
    if v[0] == "num":
        return int(v[1]) if v[1].denominator == 1 else float(v[1])
    if v[0] in ("bool", "str"):
        return v[1]
    if v[0] == "obj":
        return {k[1] if k[0] == "str" else str(k): to_json(x) for k, x in v[1]}
    return [to_json(x) for x in v[1]]


def members(v):
    """(key, value) of everything that can be iterated over."""
    if v[0] == "arr":
        return [(("num", Fraction(i)), x) for i, x in enumerate(v[1])]
    if v[0] == "obj":
        return list(v[1])
    if v[0] == "set":
        return [(x, x) for x in v[1]]
    return []


class Naive:
    def __init__(self, rules, data):
        self.rules = {}
        for rule in rules:
            self.rules.setdefault(rule["name"], []).append(rule)
        self.data = data
        self.done = {}

    # terms: every value that the term can take, with the bindings it then needs
    def term(self, t, env):
        kind = t[0]
        if kind == "const":
            yield t[1], env
        elif kind == "var":
            if t[1] in env:
                yield env[t[1]], env
        elif kind == "input":
            yield self.data, env
        elif kind == "rule":
            v = self.rule(t[1])
            if v is not None:
                yield v, env
        elif kind == "ref":
            for base, e in self.term(t[1], env):
                yield from self.keys(base, t[2], e)
        elif kind in ("arr", "set"):
            for items, e in self.all(t[1], env):
                yield (("arr", tuple(items)) if kind == "arr" else make_set(items)), e
        elif kind == "obj":
            for items, e in self.all([x for pair in t[1] for x in pair], env):
                last = dict(zip(items[::2], items[1::2]))
                yield make_object(last.items()), e
        elif kind == "op":
            for (a, b), e in self.all(t[2:4], env):
                v = self.operate(t[1], a, b)
                if v is not None:
                    yield v, e
        elif kind == "count":
            for v, e in self.term(t[1], env):
                if v[0] in ("arr", "obj", "set", "str"):
                    yield ("num", Fraction(len(v[1]))), e
        elif kind == "in":
            for (a, b), e in self.all(t[1:3], env):
                yield ("bool", any(compare(a, x) == 0 for _, x in members(b))), e
        elif kind == "call":
            for args, e in self.all(t[2], env):
                v = self.function(t[1], args)
                if v is not None:
                    yield v, e
        else:
            found = [e for e in self.body(t[2], env)]
            heads = [[v for v, _ in self.all(t[1], e)] for e in found]
            flat = [h for some in heads for h in some]
            if kind == "arrof":
                yield ("arr", tuple(h[0] for h in flat)), env
            elif kind == "setof":
                yield make_set(h[0] for h in flat), env
            else:
                yield make_object((h[0], h[1]) for h in flat), env

    def all(self, terms, env):
        if not terms:
            yield [], env
            return
        for v, e in self.term(terms[0], env):
            for rest, e2 in self.all(terms[1:], e):
                yield [v] + rest, e2

    def keys(self, base, keys, env):
        if not keys:
            yield base, env
            return
        key = keys[0]
        if key[0] == "wild" or (key[0] == "var" and key[1] not in env):
            for k, v in members(base):
                yield from self.keys(v, keys[1:], env if key[0] == "wild" else {**env, key[1]: k})
            return
        for k, e in self.term(key, env):
            for k2, v in members(base):
                if compare(k, k2) == 0:
                    yield from self.keys(v, keys[1:], e)

    @staticmethod
    def operate(op, a, b):
        if op in ("==", "!=", "<", "<=", ">", ">="):
            c = compare(a, b)
            return ("bool", {"==": c == 0, "!=": c != 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}[op])
        if a[0] == "num" and b[0] == "num" and op in "+-*":
            return ("num", a[1] + b[1] if op == "+" else a[1] - b[1] if op == "-" else a[1] * b[1])
        if a[0] == "set" and b[0] == "set" and op in "-&|":
            left, right = set(a[1]), set(b[1])
            return make_set(left - right if op == "-" else left & right if op == "&" else left | right)
        return None

    # literals: every extension of the bindings with which the literal holds
    def literal(self, lit, env):
        kind = lit[0]
        if kind == "is":
            for v, e in self.term(lit[1], env):
                if v != ("bool", False):
                    yield e
        elif kind == "unify":
            for v, e in self.term(lit[2], env):
                yield from self.match(lit[1], v, e)
        elif kind == "some":
            for v, e in self.term(lit[3], env):
                for k, x in members(v):
                    for e2 in self.match(lit[1], k, e) if lit[1] else [e]:
                        yield from self.match(lit[2], x, e2)
        elif kind == "not":
            term = lit[1][1]
            if term[1] != "==" and not any(True for _ in self.all(term[2:4], env)):
                return   # both sides are computed before "not"; only those of == may be missing
            if not any(True for _ in self.literal(lit[1], env)):
                yield env
        else:
            for v, e in self.term(lit[2], env):
                if v[0] in ("arr", "obj", "set") and all(
                        any(True for _ in self.body(lit[3], {**e, lit[1]: x})) for _, x in members(v)):
                    yield e

    def match(self, pattern, v, env):
        if pattern[0] == "wild":
            yield env
        elif pattern[0] == "var" and pattern[1] not in env:
            yield {**env, pattern[1]: v}
        elif pattern[0] == "arr" and v[0] == "arr":
            if len(pattern[1]) == len(v[1]):
                envs = [env]
                for p, x in zip(pattern[1], v[1]):
                    envs = [e2 for e in envs for e2 in self.match(p, x, e)]
                yield from envs
        elif pattern[0] != "arr":
            for x, e in self.term(pattern, env):
                if compare(x, v) == 0:
                    yield e

    def body(self, body, env):
        if not body:
            yield env
            return
        for e in self.literal(body[0], env):
            yield from self.body(body[1:], e)

    def solutions(self, rule, env):
        for e in self.body(rule["body"], env):
            yield from self.all(rule["head"], e)

    def complete(self, rules, env):
        values = []
        for rule in rules:
            if rule.get("default"):
                continue
            for one in [rule] + rule.get("else", []):
                mine = [h[0] for h, _ in self.solutions(one, env)]
                values += mine
                if mine:
                    break
        if any(compare(values[0], v) != 0 for v in values):
            raise Conflict("multiple outputs")
        if values:
            return values[0]
        return next((r["head"][0][1] for r in rules if r.get("default")), None)

    def function(self, name, args):
        rules = self.rules[name]
        try:
            return self.complete(rules, dict(zip(rules[0]["args"], args)))
        except Conflict as conflict:
            raise FunctionConflict(name) from conflict

    def rule(self, name):
        if name not in self.done:
            rules = self.rules[name]
            kind = rules[0]["kind"]
            if kind == "complete":
                self.done[name] = self.complete(rules, {})
            else:
                heads = [h for r in rules for h, _ in self.solutions(r, {})]
                self.done[name] = make_set(h[0] for h in heads) if kind == "set" else make_object(map(tuple, heads))
        return self.done[name]
