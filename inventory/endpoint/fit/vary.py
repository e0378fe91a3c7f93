#!/usr/bin/env python3
"""Makes variants of labelled traffic, so that what is fitted to it does not learn its words.

usage: vary.py TRAFFIC.jsonl[.gz] SPECS.jsonl SEED FOLD FOLDS > VARIANTS.jsonl

Takes the services whose fold (by hash of the name) is FOLD of FOLDS and writes each one as it is, and varied: with part
of its requests, with its literals renamed to other APIs' literals, with the words in its values made up anew.
"""
import gzip, hashlib, json, random, re, sys


def main():
    file, specs_file, seed, fold, folds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    lines = [json.loads(l) for l in (gzip.open(file, "rt") if file.endswith(".gz") else open(file))]
    specs = [json.loads(l) for l in open(specs_file)]
    vocabulary = [w for w in specs.pop()["vocabulary"] if 3 <= len(w) <= 7 and not w.endswith("s")]
    held = {l["service"] for l in lines}
    literals = sorted({x for s in specs if s["provider"] not in held and int(hashlib.sha256(s["provider"].encode()).hexdigest(), 16) % 4 for o in s["ops"][::7] for x in o[1].split("/") if x and "{" not in x})
    services = {}
    for l in lines:
        services.setdefault(l["service"], []).append(l)
    syl = ["ka", "lo", "mi", "ren", "to", "vas", "el", "bru", "shi", "an", "dor", "pe", "qui", "zu", "fen", "gar", "hol", "ist", "jo", "wy"]
    for name, ls in sorted(services.items()):
        if int(hashlib.sha256(name.encode()).hexdigest(), 16) // 4 % folds != fold:
            continue
        for v, (keep, rename, words) in enumerate([(1, 0, 0), (1, 0, 1), (1, 0.5, 1), (1, 1, 1), (0.2, 0, 0), (0.2, 0.5, 1), (0.5, 0.5, 0), (0.05, 0, 1)]):
            r = random.Random(f"{seed} {name} {v}")
            names, values = {}, {}

            def literal(seg):
                if seg not in names:
                    names[seg] = seg
                    if r.random() < rename and not re.match(r"v?\d", seg):
                        for _ in range(20):
                            new = r.choice(literals)
                            if new.endswith("s") == seg.endswith("s") and ("." in new) == ("." in seg) and new not in names.values():
                                names[seg] = new
                                break
                return names[seg]

            def word(m):
                w = m.group(0)
                if w not in values:
                    values[w] = r.choice(vocabulary) if r.random() < 0.5 else "".join(r.choice(syl) for _ in range(r.randint(2, 3)))
                return values[w]

            for l in ls:
                if r.random() > keep:
                    continue
                out = {k: l[k] for k in ("method", "path", "status", "truth")}
                if l["truth"] is not None:
                    t, p = l["truth"].split("/"), l["path"].split("/")
                    if len(t) == len(p):
                        for i, (a, b) in enumerate(zip(t, p)):
                            if a == "{}" and words and re.fullmatch(r"[a-z]+([-_.][a-z]+)*\d{0,2}", b):
                                p[i] = re.sub(r"[a-z]{2,}", word, b)
                            elif "{" not in a and a:
                                t[i] = p[i] = literal(a)
                        out["truth"], out["path"] = "/".join(t), "/".join(p)
                sys.stdout.write(json.dumps({"service": f"{name}#{v}", **out}) + "\n")


main()
