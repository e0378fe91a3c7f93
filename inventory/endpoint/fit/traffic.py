#!/usr/bin/env python3
"""Makes labelled traffic from API descriptions, to fit and to check the template learner.

usage: traffic.py SPECS.jsonl HOLDOUT.jsonl.gz a|b|check SEED VARIANTS > TRAFFIC.jsonl

SPECS is what specs.py writes. Providers that occur in HOLDOUT give no traffic; of the others, three in four (by hash of
the name) are for fitting, in the halves a and b, and the rest are for `check`. Lines are {"service", "method", "path",
"status", "truth"}, truth with {} for each parameter and null for scanner noise, as in bench/endpoints; services of one
document differ in their suffix.

A document becomes VARIANTS services that differ in what a sensor cannot count on: how ids look (integers, UUIDs, ULIDs,
prefixed, words), which words values are made of, how many values there are and how skewed, whether the API is served
under a prefix and, in traffic for fitting, what the literals are called and how much of the traffic was seen.
"""
import gzip, hashlib, json, random, re, string, sys, uuid

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
B62 = string.ascii_letters + string.digits
SCANNER = ["/.env", "/.git/config", "/wp-login.php", "/admin/config.php", "/phpmyadmin/index.php", "/cgi-bin/test", "/backup.zip", "/server-status",
           "/vendor/phpunit", "/actuator/heapdump", "/owa/auth/logon.aspx", "/solr/admin/info/system", "/.aws/credentials", "/config.json", "/api/jsonws/invoke",
           "/HNAP1", "/boaform/admin/formLogin", "/manager/html", "/robots.txt", "/favicon.ico", "/console", "/login.action", "/telescope/requests", "/.DS_Store"]


class World:
    """One service's ways: how its ids look and which words its values are made of."""

    def __init__(self, r, vocabulary, api_words):
        self.r = r
        syl = ["ka", "lo", "mi", "ren", "to", "vas", "el", "bru", "shi", "an", "dor", "pe", "qui", "zu", "fen", "gar", "hol", "ist", "jo", "wy"]
        made = lambda: "".join(r.choice(syl) for _ in range(r.randint(2, 3)))
        kind = r.random()
        n = r.choice([8, 16, 30, 30, 60, 150])
        if kind < 0.25:
            self.words = r.sample(vocabulary, n)
        elif kind < 0.5:
            self.words = [made() for _ in range(n)]
        else:  # the hardest: words that APIs use as literals too
            k = int(n * r.uniform(0.2, 0.6))
            self.words = r.sample(api_words, k) + r.sample(vocabulary, n - k)
        self.names = r.sample(vocabulary, 15) if r.random() < 0.5 else [made() for _ in range(25)]
        self.id_style = r.choices(["int", "uuid4", "uuid7", "ulid", "hex24", "hex40", "prefixed", "nano", "word", "slug", "user", "short"],
                                  [22, 12, 6, 6, 5, 2, 8, 8, 9, 12, 6, 3])[0]
        self.prefixes = [made()[: r.randint(1, 5)] for _ in range(r.randint(1, 6))]
        self.case = r.choice(["lower"] * 16 + ["title", "upper"])
        self.sep = r.choice(["-", "-", "-", "-", "-", "_", "."])
        self.dot = r.choice("...._-")
        self.pools = {}

    def cased(self, w):
        return w.upper() if self.case == "upper" else w.title() if self.case == "title" else w

    def value(self, style):
        r = self.r
        if style == "int":
            return str(r.randint(1, 10 ** r.randint(1, 9)))
        if style == "uuid4":
            return str(uuid.UUID(int=r.getrandbits(128), version=4))
        if style == "uuid7":
            h = "%012x" % (0x0190_0000_0000 + r.getrandbits(34)) + "7%03x" % r.getrandbits(12) + "%016x" % (r.getrandbits(62) | 1 << 63)
            return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
        if style == "ulid":
            return "01" + "".join(r.choice(CROCKFORD) for _ in range(24))
        if style in ("hex24", "hex40", "hex8"):
            return "".join(r.choice("0123456789abcdef") for _ in range(int(style[3:])))
        if style == "prefixed":
            return r.choice(self.prefixes) + "_" + "".join(r.choice(B62) for _ in range(r.choice([10, 14, 14, 20])))
        if style == "nano":
            return "".join(r.choice(B62 + "_-") for _ in range(21))
        if style == "short":
            return "".join(r.choice(string.ascii_uppercase + string.digits) for _ in range(r.randint(4, 9)))
        if style == "word":
            return self.cased(r.choice(self.words))
        if style == "slug":
            return self.sep.join(r.choice(self.words) for _ in range(r.randint(1, 3)))
        if style == "user":
            k, n = r.random(), r.choice(self.names)
            return n if k < 0.4 else n + str(r.randint(1, 99)) if k < 0.7 else n + self.dot + r.choice(self.names) if k < 0.97 else n.title() + r.choice(self.names).title()
        if style == "email":
            return r.choice(self.names) + "@" + r.choice(self.words) + ".example.org"
        if style == "host":
            return r.choice(self.words) + r.choice([".example.org", ".example.com", ".internal.test"])
        if style == "file":
            return r.choice(self.words) + r.choice([".pdf", ".png", ".json", ".txt", ".csv"])
        if style == "date":
            return "20%02d-%02d-%02d" % (r.randint(18, 26), r.randint(1, 12), r.randint(1, 28))
        if style == "datetime":
            return self.value("date") + "T%02d:00:00Z" % r.randint(0, 23)
        if style == "year":
            return str(r.randint(1990, 2026))
        if style == "version":
            return "%d.%d.%d" % (r.randint(0, 9), r.randint(0, 20), r.randint(0, 20)) if r.random() < 0.7 else "v%d" % r.randint(1, 9)
        if style == "code":
            return "".join(r.choice(string.ascii_uppercase) for _ in range(r.choice([2, 3, 3])))
        if style == "lang":
            return r.choice(["en", "de", "fr", "es", "pt-BR", "en-US", "ja", "zh-CN", "it", "nl"])
        if style == "region":
            return r.choice(["us", "eu", "ap", "sa"]) + "-" + r.choice(["east", "west", "north", "south", "central"]) + "-" + str(r.randint(1, 3))
        if style == "phone":
            return "+%d" % r.randint(10 ** 9, 10 ** 12)
        if style == "number":
            return "%.4f" % (r.random() * 180 - 90)
        return r.choice(self.words)

    def style(self, name, h):
        low, r = name.lower(), self.r
        if h.get("enum") and r.random() < 0.85:
            return "enum"
        if h.get("example") and r.random() < 0.15:
            return "example"
        if h.get("type") == "integer" and r.random() < 0.8:
            return "int" if "year" not in low else "year"
        f = h.get("format", "")
        if f == "uuid":
            return r.choice(["uuid4", "uuid7"])
        if f in ("date", "date-time") or re.search(r"date|(^|_)day$", low):
            return "datetime" if f == "date-time" else "date"
        if h.get("type") == "number":
            return r.choice(["number", "int"])
        for pat, styles in (("e?mail", "email"), ("file|path|image|photo", "file"), ("domain|host", "host"), ("country|currency|iso|symbol|ticker", "code"),
                            ("lang|locale", "lang"), ("version", "version"), ("region|zone|location", "region"), ("sha|hash|commit|digest", "hex40"),
                            ("user|owner|member|login|author|handle", "user"), ("phone|msisdn", "phone"), ("year", "year"),
                            ("name|slug|key|tag|label|type|category|topic|title|code|group|team|repo|project|org|space|status|term|query|word|namespace", None)):
            if re.search(pat, low) and not (styles is None and low.endswith("id")):
                if r.random() < 0.75:
                    return styles or r.choice(["word", "slug", "slug", "slug", "user"])
        return self.id_style if r.random() < 0.85 else r.choice(["int", "uuid4", "word", "slug", "hex24", "nano"])

    def pool(self, name, h):
        if name not in self.pools:
            st, r = self.style(name, h), self.r
            if st == "enum":
                vals = list(h["enum"])
                r.shuffle(vals)
                vals = vals[: r.choice([1, 2, 3, 5, 10, 40])]
            else:
                vals = [self.value(st) for _ in range(r.choice([1, 2, 3, 5, 10, 20, 20, 40, 80, 200]))] if st != "example" else []
                if h.get("example") and (st == "example" or r.random() < 0.5):
                    vals.insert(0, h["example"])
                if r.random() < 0.1:  # ids of two kinds
                    vals += [self.value(r.choice(["word", "uuid4", "int"])) for _ in range(3)]
            vals = [v for v in dict.fromkeys(vals) if v and "/" not in v and not re.search(r"[\s?#%;{}]", v) and v not in (".", "..")] or [self.value("word")]
            skew = r.choice([0, 0, 0.5, 1.0, 1.5])
            self.pools[name] = (vals, [1 / (i + 1) ** skew for i in range(len(vals))])
        vals, weights = self.pools[name]
        return self.r.choices(vals, weights)[0]


def service(r, spec, tag, vocabulary, api_words, literals, fitting, out):
    w = World(r, vocabulary, api_words)
    by = {}
    for method, path, params in spec["ops"]:
        by.setdefault(path, []).append((method, params))
    paths = sorted(by)
    limit = r.choice([15, 25, 40, 80, 120, 250, 250, 250])
    if len(paths) > limit:
        if r.random() < 0.6:  # part of the tree whole rather than leaves from all over
            at = r.randrange(len(paths) - limit)
            paths = paths[at : at + limit]
        else:
            paths = sorted(r.sample(paths, limit))
    rename = {}
    if fitting and r.random() < 0.6:  # other literals: the place decides, not the word
        share = r.choice([0.2, 0.5, 1.0])
        for seg in sorted({x for p in paths for x in p.split("/") if x and "{" not in x}):
            if r.random() < share and not re.match(r"v\d", seg):
                plural = seg.endswith("s")
                for _ in range(20):
                    new = r.choice(literals)
                    if new.endswith("s") == plural and new not in rename.values() and ("." in new) == ("." in seg):
                        rename[seg] = new
                        break
    prefix, strip = "", 0
    if r.random() < 0.2:
        firsts = {p.split("/")[1] for p in paths}
        if len(firsts) == 1 and "{" not in min(firsts) and min(len(p.split("/")) for p in paths) > 2:
            strip = 1
    if r.random() < 0.15:
        prefix = r.choice(["/api", "/v1", "/api/v1", "/rest", "/api/v2", "/" + r.choice(w.words), "/" + r.choice(w.words) + "/v1"])
    density = r.choice([1, 1, 1, 1, 1, 1, 0.5, 0.2, 0.2, 0.05, 0.02]) if fitting else 1
    most = r.choice([15, 35, 45, 45, 45, 60])
    total = 0
    for p in paths:
        n = r.choice([1, 1, 2]) if r.random() < 0.28 else r.randint(1, most)
        shown = "/" + "/".join(rename.get(x, x) for x in p.split("/")[1 + strip :])
        truth = prefix + re.sub(r"\{[^{}]*\}", "{}", shown)
        for _ in range(n):
            method, params = r.choice(by[p])
            if r.random() > density:
                continue
            url = prefix + re.sub(r"\{([^{}]*)\}", lambda m: w.pool(m.group(1), params.get(m.group(1), {})), shown)
            k = r.random()
            status = 200 if k < 0.93 else r.choice([404, 401, 403, 500, 400])
            out.append({"service": tag, "method": method, "path": url, "status": status, "truth": truth})
            total += 1
    noise = [r.choice(SCANNER) for _ in range(r.randint(0, 7))] + ["/" + "".join(r.choice(string.ascii_lowercase) for _ in range(8)) for _ in range(r.randint(0, 6))]
    if total:
        for p in noise:
            if r.random() < max(density, 0.2):
                out.append({"service": tag, "method": "GET", "path": p, "status": 404, "truth": None})


def main():
    specs_file, hold, part, seed, variants = sys.argv[1:6]
    held = {json.loads(l)["service"] for l in gzip.open(hold, "rt")}
    specs = [json.loads(l) for l in open(specs_file)]
    vocabulary = [w for w in specs.pop()["vocabulary"] if 3 <= len(w) <= 7 and not w.endswith("s")]  # values are seldom plural
    used, literals = {}, set()
    for s in specs:
        if s["provider"] in held or int(hashlib.sha256(s["provider"].encode()).hexdigest(), 16) % 4 == 0:
            continue
        segs = {x for o in s["ops"] for x in o[1].split("/") if x and "{" not in x}
        literals |= set(sorted(segs)[:: max(1, len(segs) // 40)])  # no provider gives more than some 80
        for seg in segs:
            if seg.isalpha():
                used.setdefault(seg.lower(), set()).add(s["provider"])
    api_words = sorted(k for k, v in used.items() if len(v) >= 3 and 3 <= len(k) <= 8 and not k.endswith("s"))
    literals = sorted(literals)
    for s in specs:
        if s["provider"] in held:
            continue
        h = int(hashlib.sha256(s["provider"].encode()).hexdigest(), 16)
        if part != ("check" if h % 4 == 0 else "ab"[h // 4 % 2]):
            continue
        for v in range(int(variants)):
            r = random.Random(f"{seed} {s['service']} {v}")
            out = []
            service(r, s, f"{s['service']}#{v}", vocabulary, api_words, literals, part != "check", out)
            for line in out:
                sys.stdout.write(json.dumps(line) + "\n")


main()
