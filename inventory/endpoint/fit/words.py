#!/usr/bin/env python3
"""Makes the list of API words: those that many providers use as literals.

usage: words.py SPECS.jsonl HOLDOUT.jsonl.gz OUT.txt

A word is a whole literal segment, or a part of one (split at punctuation and at camelCase), in lower case, used by at
least 3 providers. Providers that occur in HOLDOUT, and the quarter that traffic.py keeps to check, are left out, so that
a score on either says what the list does for APIs that it has not seen. Lines, most used first: the word, a tab, how many providers use it, how often in 1,000 a
whole segment of that word is followed by a parameter among those followed by anything (absent: never seen whole).
"""
import collections, gzip, hashlib, json, re, sys

def parts(seg):
    return [p.lower() for p in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", seg)]

def main():
    held = {json.loads(l)["service"] for l in gzip.open(sys.argv[2], "rt")}
    use, follow = collections.defaultdict(set), collections.defaultdict(lambda: [0, 0])
    for line in open(sys.argv[1]):
        s = json.loads(line)
        if "vocabulary" in s or s["provider"] in held or int(hashlib.sha256(s["provider"].encode()).hexdigest(), 16) % 4 == 0:
            continue
        pairs = set()
        for _, path, _ in s["ops"]:
            segs = path.split("/")[1:]
            for i, seg in enumerate(segs):
                if not seg or "{" in seg:
                    continue
                low = seg.lower()
                for w in {low, *parts(seg)}:
                    if 2 <= len(w) <= 24 and w.isascii():
                        use[w].add(s["provider"])
                if i + 1 < len(segs) and segs[i + 1]:
                    pairs.add((low, "/".join(segs[: i + 1]), "{" in segs[i + 1]))
        for low, _, param in pairs:
            follow[low][param] += 1
    rows = sorted(((w, len(p)) for w, p in use.items() if len(p) >= 3), key=lambda r: (-r[1], r[0]))
    with open(sys.argv[3], "w") as out:
        for w, n in rows:
            lit, par = follow.get(w, (0, 0))
            out.write(f"{w}\t{n}" + (f"\t{1000 * par // (lit + par)}" if lit + par else "") + "\n")
    print(len(rows), "words of", len(set().union(*use.values())), "providers", file=sys.stderr)

main()
