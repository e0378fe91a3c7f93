#!/usr/bin/env python3
"""Measures `gnomon endpoints infer` on labelled traffic: all of it, and random parts, beside typed segments alone.

usage: accuracy.py DIR    DIR has dev.jsonl.gz and score.py (shared/bench/endpoints)

No provider of DIR's traffic took part in fitting the judge or in choosing the API words (fit/fit.sh leaves them out), so
the score on all of it is one on APIs never seen. Exits 1 when a figure misses its goal.
"""
import gzip, os, random, subprocess, sys, tempfile, time

GOALS = {1: (("FGA", 0.96), ("GA", 0.97), ("EXACT", 0.95), ("STATIC", -0.010)), 5: (("FGA", 0.92), ("STATIC", -0.025))}


def run(cmd, text):
    return subprocess.run(cmd, input=text, capture_output=True, text=True, check=True).stdout


def score(bench, work, lines, predictions):
    traffic, pred = os.path.join(work, "t.gz"), os.path.join(work, "p")
    with gzip.open(traffic, "wt") as f:
        f.writelines(lines)
    with open(pred, "w") as f:
        f.write(predictions)
    last = run([sys.executable, os.path.join(bench, "score.py"), traffic, pred], "").splitlines()[-1]
    words = last.split()
    return {k: float(v) for k, v in zip(words[::2], words[1::2])}


def main():
    bench = sys.argv[1]
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
    failed = []
    with tempfile.TemporaryDirectory() as work:
        for name in ("gnomon", "endpointfit"):
            subprocess.run(["go", "build", "-o", os.path.join(work, name), "./cmd/" + name], cwd=root, check=True)
        with gzip.open(os.path.join(bench, "dev.jsonl.gz"), "rt") as f:
            lines = f.readlines()
        print(f"{'part':>6} {'seed':>4}  {'GA':>6} {'FGA':>6} {'EXACT':>6} {'STATIC':>6}   typed segments alone: GA FGA EXACT STATIC")
        for part in (1, 2, 5, 20, 50):
            for seed in range(1 if part == 1 else 3):
                r = random.Random(seed)
                some = [l for l in lines if part == 1 or r.random() < 1 / part]
                start = time.time()
                got = score(bench, work, some, run([os.path.join(work, "gnomon"), "endpoints", "infer"], "".join(some)))
                typed = score(bench, work, some, run([os.path.join(work, "endpointfit"), "typed"], "".join(some)))
                row = lambda s: " ".join(f"{s[k]:6.4f}" for k in ("GA", "FGA", "EXACT", "STATIC"))
                print(f"{'1/%d' % part:>6} {seed:>4}  {row(got)}   {row(typed)}", flush=True)
                for key, goal in GOALS.get(part, ()):
                    if got[key] < goal if goal > 0 else got[key] > -goal:
                        failed.append(f"1/{part} seed {seed}: {key} {got[key]:.4f}, goal {abs(goal)}")
                for key in ("GA", "FGA"):
                    if got[key] < typed[key]:
                        failed.append(f"1/{part} seed {seed}: {key} {got[key]:.4f}, typed segments alone {typed[key]:.4f}")
    for f in failed:
        print("missed:", f)
    sys.exit(1 if failed else 0)


main()
