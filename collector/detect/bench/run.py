#!/usr/bin/env python3
"""Scores the detectors: recordings made from seeds, replayed by gnomon itself, judged by the benchmark's scorer.

usage: run.py --bench DIR [--gnomon FILE] [--work DIR] [--dev SEED ...] [--worlds SEED ...]
DIR holds gen.py, score.py and dev.json. --dev are seeds of dev.json (default 1 2 3), --worlds seeds of world.py, which makes
up other worlds (default 201 202 203, held out: the detectors were tuned on dev 11 and 12 and on worlds 101 to 103; 201 to 303 were looked at for faults only).
Recordings stay in --work (140 MB for each seed of dev, 60 for each world) and are made once. Prints the scorer's tables, then
one line for each figure that is asked for. Exit code 3: a figure was missed.
"""
import argparse, json, os, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run(*command, **kw):
    return subprocess.run(command, check=True, **kw)


def recording(args, name, scenario, seed):
    """Makes the recording unless it is there; returns its directory."""
    out = os.path.join(args.work, name)
    if not os.path.exists(os.path.join(out, "meta.json")):
        run(sys.executable, os.path.join(args.bench, "gen.py"), scenario, out, "--seed", str(seed))
    return out


def score(args, dirs):
    pairs = []
    for d in dirs:
        alerts = os.path.join(d, "alerts.jsonl")
        run(args.gnomon, "replay", "-q", "--alerts", alerts, os.path.join(d, "calls.jsonl.gz"))
        pairs += [d, alerts]
    command = [sys.executable, os.path.join(args.bench, "score.py"), *pairs]
    run(*command)
    return json.loads(run(*command, "--json", capture_output=True, text=True).stdout)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--bench", required=True)
    p.add_argument("--gnomon", default="bin/gnomon")
    p.add_argument("--work", default="/tmp/gnomon-bench-detect")
    p.add_argument("--dev", type=int, nargs="*", default=[1, 2, 3])
    p.add_argument("--worlds", type=int, nargs="*", default=[201, 202, 203])
    args = p.parse_args()
    os.makedirs(args.work, exist_ok=True)
    failed, scores = False, {}
    print("== dev", *args.dev, flush=True)
    scores["dev"] = score(args, [recording(args, f"dev-{s}", os.path.join(args.bench, "dev.json"), s) for s in args.dev])
    if args.worlds:
        dirs = []
        for s in args.worlds:
            scenario = os.path.join(args.work, f"world-{s}.json")
            with open(scenario, "w") as f:
                run(sys.executable, os.path.join(HERE, "world.py"), str(s), stdout=f)
            dirs.append(recording(args, f"world-{s}", scenario, s))
        print("== other worlds", *args.worlds, flush=True)
        scores["worlds"] = score(args, dirs)

    def figure(what, value, wanted, good):
        nonlocal failed
        failed |= not good
        print(f"{'ok    ' if good else 'MISSED'}  {what:45} {value:8.3f}  wanted {wanted}")

    for name, s in scores.items():
        h, strength = s["headline"], s["per_strength"]
        print(f"== {name}: {h['false_alerts']} false alerts")
        for what in ("precision", "recall"):
            figure(what, h[what], ">= .95", h[what] >= .95)
        figure("recall with the right kind", h["recall_right_kind"], ">= .90", h["recall_right_kind"] >= .9)
        worst = min(s["per_kind"], key=lambda k: s["per_kind"][k]["recall"])
        figure(f"recall of the worst kind ({worst})", s["per_kind"][worst]["recall"], ">= .85", s["per_kind"][worst]["recall"] >= .85)
        figure("false alerts per service and day", h["false_per_service_day"], "<= .02", h["false_per_service_day"] <= .02)
        figure("alerts per attack", h["alerts_per_attack"], "<= 2", h["alerts_per_attack"] <= 2)
        for what, field, most in (("blatant", "detect_p50_s", 5), ("blatant", "detect_p95_s", 60), ("medium", "detect_p50_s", 120), ("low", "detect_p50_s", 1200)):
            figure(f"{what} {field}", strength[what][field], f"<= {most}", strength[what][field] <= most)
        figure("recall of low", strength["low"]["recall"], ">= .90", strength["low"]["recall"] >= .9)
    if "worlds" in scores:
        for what in ("precision", "recall"):
            gap = scores["dev"]["headline"][what] - scores["worlds"]["headline"][what]
            figure(f"{what}: dev above other worlds by", gap, "<= .07", gap <= .07)
    sys.exit(3 if failed else 0)


if __name__ == "__main__":
    main()
