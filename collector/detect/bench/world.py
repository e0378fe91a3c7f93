#!/usr/bin/env python3
"""Makes up another world for the benchmark of detectors: a scenario for gen.py that shares no names, hours or rates with dev.json.

usage: world.py SEED > scenario.json
The seed draws the industry's words, the day the recording starts, the time zone, the rhythms, how large each population
is, what kind of credential it holds, how services call each other, how machines behave, and the attacks: every kind in every
strength, with rates and lengths of their own. Detectors are tuned on some worlds and judged on others.
"""
import json, random, sys

WORDS = {
    "clinic": ["patient", "visit", "lab", "recipe", "claim", "ward", "doctor", "slot", "consent", "image"],
    "fleet": ["truck", "route", "depot", "driver", "cargo", "toll", "sensor", "fuel", "customs", "manifest"],
    "bank": ["account", "transfer", "card", "loan", "branch", "payee", "statement", "quote", "dispute", "mandate"],
    "school": ["course", "lesson", "grade", "student", "quiz", "badge", "forum", "room", "exam", "paper"],
    "energy": ["meter", "tariff", "outage", "site", "reading", "bill", "contract", "charger", "panel", "alarm"],
    "games": ["player", "match", "item", "guild", "quest", "score", "chat", "skin", "lobby", "replay"],
}
CLASSES = ["email", "phone", "person_name", "address", "date_of_birth", "iban"]


def shifted(hours, by):
    return [hours[(i - by) % 24] for i in range(24)]


def main():
    seed = int(sys.argv[1])
    R = random.Random(f"world {seed}")
    industry = R.choice(list(WORDS))
    nouns = WORDS[industry][:]
    R.shuffle(nouns)
    zone = R.choice([-8, -5, -3, 2, 5, 8, 10])        # hours from UTC to local: local 9 is UTC 9 - zone
    days = R.choice([10, 11, 12, 13])
    start = f"2027-0{R.randrange(1, 10)}-{R.randrange(1, 28):02d}T00:00:00Z"
    day_shape = [R.uniform(.3, 2), R.uniform(.3, 1.5), .5, .4, .5, 1, 2.5, 5, 7, 8, 9, 9, 8.5, 8, 8, 8.5, 9, 10, 11, 11, 10, 8, 6, 3.5]
    evening = [R.uniform(1, 4)] * 3 + [1, .8, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 5, 5, 6, 7, 9, 11, 13, 13, 12, 9, 6]
    late = R.randrange(0, 3)
    office = shifted([0, 0, 0, 0, 0, 0, 0, 1.5, 7, 9, 10, 9, 6, 8, 9, 9, 7, 3, .8, 0, 0, 0, 0, 0], late)
    night = shifted([7, 7, 6, 6, 5, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 6, 7], late)
    business = [.5, .4, .4, .4, .6, 1, 2, 5, 8, 10, 10, 9, 8, 9, 9, 9, 8, 6, 4, 3, 2, 1.5, 1, .7]
    rhythms = {k: {"hours": shifted(v, -zone), "days": d} for k, (v, d) in {
        "people": (R.choice([day_shape, evening]), [1, .95, 1, 1.05, 1.1, R.uniform(.6, 1.4), R.uniform(.5, 1.3)]),
        "office": (office, [1, 1, 1, .95, .9, 0, 0]), "night": (night, [1, 1, 1, 1, 1, .9, .9]),
        "business": (business, [1, 1, 1, 1, .9, R.uniform(.15, .7), R.uniform(.1, .6)]), "flat": ([1] * 24, [1] * 7)}.items()}

    def nets(n, lead):
        return [f"{lead}.{R.randrange(1, 250)}" for _ in range(n)]
    networks = {"home": nets(R.randrange(5, 14), 248) + nets(3, 249), "mobile": nets(R.randrange(2, 4), 250), "office": [f"251.{R.randrange(250)}.{R.randrange(250)}" for _ in range(2)],
                "hosting": nets(R.randrange(5, 9), 252)}

    params, services, callers, populations, benign, attacks = {}, {}, {}, {}, [], []
    params.update({"q": {"pick": "text", "count": R.randrange(800, 9000)}, "page": {"kind": "integer", "pick": "page", "count": 30}, "cursor": {"pick": "fresh"},
                   "flowId": {"kind": "uuid", "pick": "session"}, "ownerId": {"kind": "integer", "pick": "self"}, "login": {"pick": "self"}, "since": {"kind": "date", "pick": "set", "count": 25}})
    cat, own, second = nouns[0], nouns[1], nouns[2]
    back = nouns[:R.randrange(5, 8)]
    for i, n in enumerate(back):
        params[n + "Id"] = {"kind": R.choice(["integer", "uuid", "string"]), "pick": "popular", "count": R.randrange(400, 4000), "zipf": R.uniform(.6, 1)} if i == 0 or i > 2 else \
            {"kind": R.choice(["integer", "uuid"]), "pick": "own", "start": R.randrange(3, 12)}
    namespace = R.sample(["core", "main", "svc", "plat", "int", "bus"], 3)
    name = {n: f"{n}-{R.choice(['svc', 'api', 'core', 'store'])}" for n in back}
    proto = {}
    for i, n in enumerate(back):
        grpc = i > 2 and R.random() < .4
        proto[n] = grpc
        s = {"workload": f"{R.choice(namespace)}/Deployment/{name[n]}", "pods": R.randrange(1, 4), "process": R.choice(["java", "node", "go", "python3", "dotnet"]), "accepts": R.choice(["propagate", "own"]) if i else "propagate"}
        if R.random() < .4:
            s["tls"] = "1.3"
        if grpc:
            s.update(port=50051, protocol="http/2")
            N = n.capitalize()
            s["endpoints"] = {f"GRPC /{n}.{N}s/Get{N}": {"ms": 4, "bytes": R.randrange(100, 900), "sigma": R.uniform(.2, .7)}, f"GRPC /{n}.{N}s/List{N}s": {"ms": 20, "bytes": R.randrange(4000, 20000), "sigma": .5},
                              f"GRPC /{n}.{N}s/Update{N}": {"ms": 8, "bytes": 40}, f"GRPC /{n}.{N}s/Purge": {"ms": 9, "bytes": 20}}
        else:
            c = R.sample(CLASSES, 2)
            s["endpoints"] = {
                f"GET /{n}s": {"ms": 20, "bytes": R.randrange(3000, 20000), "sigma": R.uniform(.3, .7), "query": ["page?0.5", "q?0.3"]},
                f"GET /{n}s/{{{n}Id}}": {"ms": 9, "bytes": R.randrange(600, 5000), "sigma": R.uniform(.3, .7), "data": [f"{c[0]} $.a", f"{c[1]} $.b 0.5"] if i != 0 else [], "errors": {"404": R.uniform(.002, .015)}},
                f"POST /{n}s": {"ms": 18, "bytes": 500, "ok": 201, "body": ["name", "kind?0.6", "note?0.2"], "errors": {"422": .02}},
                f"PUT /{n}s/{{{n}Id}}": {"ms": 18, "bytes": 500, "body": ["name?0.5", "kind?0.5"]},
                f"DELETE /{n}s/{{{n}Id}}": {"ms": 12, "bytes": 0, "ok": 204},
                f"GET /{n}s/export": {"ms": 200, "bytes": R.randrange(40000, 200000), "sigma": .3, "query": ["cursor"], "data": [f"{c[0]} $[].a 1 100"]},
                f"GET /{n}s/changes": {"ms": 14, "bytes": 2500, "sigma": R.uniform(.4, .8), "query": ["cursor"]}}
        services[name[n]] = s
    for i in range(1, len(back)):                     # who calls whom to answer
        for j in range(i + 1, len(back)):
            if R.random() < .35:
                n, m = back[i], back[j]
                target = f"{name[m]} " + (f"GRPC /{m}.{m.capitalize()}s/Get{m.capitalize()}" if proto[m] else f"GET /{m}s/{{{m}Id}}")
                for key, e in services[name[n]]["endpoints"].items():
                    if ("Get" in key or key.startswith("GET") and key.endswith("Id}")) and "calls" not in e:
                        e["calls"] = [f"{target} {R.uniform(.2, .9):.2f}"]
                        break
    sign, model = "identity", "helper"
    services[name[own]]["endpoints"][f"POST /{own}s"]["calls"] = ["identity POST /verify 0.3"]
    services[sign] = {"workload": f"{namespace[0]}/Deployment/{sign}", "pods": 2, "process": "go", "accepts": "propagate", "endpoints": {
        "POST /session": {"ms": 80, "bytes": 700, "auth": "none", "body": ["login", "remember?0.3"], "data": ["jwt $.t"], "data_in": ["password $.p"], "errors": {"401": .01}},
        "POST /verify": {"ms": 5, "bytes": 200, "body": ["token"], "accepts": "own"}, "GET /profile": {"ms": 8, "bytes": 900, "data": ["email $.email", "person_name $.name"]},
        "PATCH /profile": {"ms": 15, "bytes": 900, "body": ["name?0.5", "lang?0.4", "theme?0.3", "photo?0.2@v2"], "errors": {"400": .01}, "data": ["email $.email"]},
        "GET /people": {"ms": 40, "bytes": 18000, "query": ["page", "q?0.4"], "data": ["email $[].email 1 30"]}, "GET /people/{ownerId}": {"ms": 9, "bytes": 1300, "data": ["email $.email", "phone $.phone 0.5"]},
        "PUT /people/{ownerId}/rights": {"ms": 12, "bytes": 100, "body": ["rights"]}, "DELETE /people/{ownerId}": {"ms": 20, "bytes": 0, "ok": 204}}}
    services[model] = {"workload": f"{namespace[1]}/Deployment/{model}", "pods": R.randrange(1, 3), "process": "python3", "accepts": "propagate", "endpoints": {
        "POST /ask": {"ms": 900, "bytes": 2200, "sigma": .7, "in": 1500, "in_sigma": .6, "body": ["message"], "calls": ["ai.vendor.example:443 POST /v1/messages 1-2", "toolbox MCP tools/list 0.3", "toolbox MCP tools/call/find 0.6", "toolbox MCP tools/call/ideas 0.4 @tool2"]}}}
    services["toolbox"] = {"workload": f"{namespace[1]}/Deployment/toolbox", "pods": 1, "process": "node", "accepts": "propagate", "endpoints": {
        "MCP tools/list": {"ms": 4, "bytes": 4000, "sigma": .03}, "MCP tools/call/find": {"ms": 40, "bytes": 3000, "body": ["q"], "calls": [f"{name[cat]} GET /{cat}s"]}, "MCP tools/call/ideas": {"ms": 60, "bytes": 2500, "since": "tool2"},
        "MCP tools/call/write_record": {"ms": 20, "bytes": 300, "body": ["text"]}, "MCP tools/call/sql": {"ms": 100, "bytes": 8000}}}
    for h, key, e in (("ai.vendor.example:443", "POST /v1/messages", {"ms": 1400, "bytes": 3000, "sigma": .7, "in": 8000, "in_sigma": .7}), ("sms.vendor.example:443", "POST /send", {"ms": 90, "bytes": 90, "in": 500}),
                      ("scores.vendor.example:443", "POST /check", {"ms": 100, "bytes": 300, "in": 900, "since": "worker2"})):
        services[h] = {"outside": "hosting", "tls": "1.3", "endpoints": {key: e}}
    services["hooks"] = {"outside": "hosting", "copies": R.randrange(25, 80), "new_per_day": R.uniform(.6, 2), "name": "cb.client{}.example:443", "pods": 1, "tls": "1.2", "accepts": "none", "endpoints": {"POST /in": {"ms": 140, "bytes": 60, "in": 800}}}

    edge, edge2 = "front", "door"
    prefix, prefix2 = R.choice(["/v3", "/public", "/rest", ""]), R.choice(["/b", "/app", "/x1"])
    def facade(pre):
        e = {f"POST {pre}/session": {"proxy": f"{sign} POST /session", "auth": "none"}, f"GET {pre}/profile": {"proxy": f"{sign} GET /profile"}, f"PATCH {pre}/profile": {"proxy": f"{sign} PATCH /profile"},
             f"POST {pre}/ask": {"proxy": f"{model} POST /ask"}}
        for n in back[:3]:
            e[f"GET {pre}/{n}s"] = {"proxy": f"{name[n]} GET /{n}s"}
            e[f"GET {pre}/{n}s/{{{n}Id}}"] = {"proxy": f"{name[n]} GET /{n}s/{{{n}Id}}"}
        e[f"POST {pre}/{own}s"] = {"proxy": f"{name[own]} POST /{own}s"}
        e[f"POST {pre}/flow"] = {"ms": 10, "bytes": 500, "ok": 201, "body": ["kind"]}
        e[f"PUT {pre}/flow/{{flowId}}/terms"] = {"ms": 10, "bytes": 300, "body": ["accept"]}
        e[f"POST {pre}/flow/{{flowId}}/finish"] = {"ms": 30, "bytes": 600, "ok": 201, "errors": {"409": .02}, "calls": [f"{name[own]} POST /{own}s"]}
        return e
    E = facade(prefix)
    E.update({f"GET {prefix}/news": {"proxy": f"{name[cat]} GET /{cat}s", "since": "news"}, f"GET {prefix}/staff/people": {"proxy": f"{sign} GET /people"}, f"GET {prefix}/staff/people/{{ownerId}}": {"proxy": f"{sign} GET /people/{{ownerId}}"},
              f"PUT {prefix}/staff/people/{{ownerId}}/rights": {"proxy": f"{sign} PUT /people/{{ownerId}}/rights"}, f"DELETE {prefix}/staff/{cat}s/{{{cat}Id}}": {"proxy": f"{name[cat]} DELETE /{cat}s/{{{cat}Id}}"},
              f"PUT {prefix}/staff/{cat}s/{{{cat}Id}}": {"proxy": f"{name[cat]} PUT /{cat}s/{{{cat}Id}}"},
              f"GET {prefix}/b2b/{own}s": {"ms": 6, "bytes": R.randrange(5000, 15000), "sigma": R.uniform(.3, .6), "query": ["cursor?0.6"], "calls": [f"{name[own]} GET /{own}s/export"]},
              f"GET {prefix}/b2b/{own}s/{{{own}Id}}": {"proxy": f"{name[own]} GET /{own}s/{{{own}Id}}"}, f"POST {prefix}/b2b/{second}s": {"proxy": f"{name[second]} POST /{second}s"}})
    services[edge] = {"workload": f"{namespace[2]}/Deployment/{edge}", "pods": R.randrange(2, 4), "process": "envoy", "port": 8443, "tls": "1.3", "protocol": "http/2", "host": "www.other.example", "cred": "mtls", "endpoints": E}
    services[edge2] = {"workload": f"{namespace[2]}/Deployment/{edge2}", "pods": 2, "process": "node", "port": 8443, "tls": "1.3", "protocol": "http/2", "host": "m.other.example", "cred": "bearer_jwt", "ttl": "24h", "endpoints": facade(prefix2)}
    if R.random() < .4:
        services["ingress"] = {"workload": "kube/Deployment/ingress", "pods": 2, "process": "nginx", "port": 443, "tls": "1.3", "protocol": "http/2", "host": "www.other.example", "mirrors": edge, "endpoints": {}}
        entry = "ingress"
    else:
        entry = edge

    def flows(pre):
        return {"look": {"weight": 40, "anonymous": R.choice([0, .4, .6]), "steps": [f"GET {pre}/{cat}s 1-3", f"GET {pre}/{cat}s/{{{cat}Id}} 1-{R.randrange(3, 7)}"]},
                "mine": {"weight": 20, "steps": [f"GET {pre}/{own}s", f"GET {pre}/{own}s/{{{own}Id}} 1-3", f"POST {pre}/{own}s 0.15", f"GET {pre}/{second}s/{{{second}Id}} 0.4"]},
                "do": {"weight": 10, "steps": [f"GET {pre}/{cat}s/{{{cat}Id}} 1-2", f"POST {pre}/flow !", f"PUT {pre}/flow/{{flowId}}/terms !", f"POST {pre}/flow/{{flowId}}/finish !", f"GET {pre}/{own}s/{{{own}Id}}"]},
                "me": {"weight": 6, "steps": [f"GET {pre}/profile", f"PATCH {pre}/profile 0.5"]}, "ask": {"weight": 3, "steps": [f"POST {pre}/ask 1-5"]}}
    def people(auth, pre, where):
        return {"users": R.randrange(700, 2500), "zipf": R.uniform(.6, .8), "customers": True, "edge": where, "auth": auth, "ttl": R.choice(["1h", "2h", "8h"]) if auth == "bearer_jwt" else R.choice(["8h", "12h", "24h"]),
                "sessions_per_day": R.randrange(350, 900), "rhythm": "people", "dispersion": R.choice([5, 8, 12]), "think_s": R.choice([4, 7, 12]), "networks": {"home": .85, "mobile": R.uniform(.2, .6), "office": .1, "hosting": .04},
                "login": {"step": f"POST {pre}/session", "fail": R.uniform(.02, .09)}, "flows": flows(pre)}
    auths = R.choice([("session_cookie", "bearer_jwt"), ("bearer_jwt", "bearer_jwt"), ("session_cookie", "bearer_jwt")])
    populations["p1"] = people(auths[0], prefix, entry)
    populations["p1"]["flows"]["news"] = {"weight": 4, "since": "news", "steps": [f"GET {prefix}/news 1-2", f"GET {prefix}/{cat}s/{{{cat}Id}}"]}
    populations["p1"]["flows"]["peek"] = {"weight": .2, "steps": [f"GET {prefix}/profile"]}
    populations["p2"] = people(auths[1], prefix2, edge2)
    crew = R.randrange(4, 9)
    populations["crew"] = {"users": crew, "zipf": .3, "benign": "support", "edge": entry, "auth": "bearer_jwt", "ttl": "8h", "issuer": "https://login.other.example", "sessions_per_day": crew * R.randrange(8, 20), "rhythm": "office", "dispersion": 9, "think_s": 20,
                           "networks": {"office": 1.0}, "flows": {"care": {"weight": 5, "steps": [f"GET {prefix}/staff/people 0.8", f"GET {prefix}/staff/people/{{ownerId}} 1-2", f"PUT {prefix}/staff/people/{{ownerId}}/rights 0.06"]},
                                                                  "keep": {"weight": 3, "steps": [f"GET {prefix}/{cat}s", f"PUT {prefix}/staff/{cat}s/{{{cat}Id}} 1-3", f"DELETE {prefix}/staff/{cat}s/{{{cat}Id}} 0.15"]}}}
    if R.random() < .5:
        populations["watch"] = {**populations["crew"], "users": 2, "sessions_per_day": 20, "rhythm": "night"}

    def get(n):
        return f"{name[n]} " + (f"GRPC /{n}.{n.capitalize()}s/Get{n.capitalize()}" if proto[n] else f"GET /{n}s/{{{n}Id}}")
    def lst(n):
        return f"{name[n]} " + (f"GRPC /{n}.{n.capitalize()}s/List{n.capitalize()}s" if proto[n] else f"GET /{n}s")
    def rate(lo, hi):
        return f"{R.uniform(lo, hi):.2f}/min"
    def machine(n, **kw):
        callers[n] = {"workload": f"{R.choice(namespace)}/Deployment/{n}", "pods": R.randrange(1, 4), "process": R.choice(["java", "ruby", "python3", "go"]), **kw}
    machine("alpha", pods=2, rhythm="people", dispersion=R.choice([3, 5]), rates={get(own): rate(.5, 1.5), get(back[3]): rate(.3, 1), f"{sign} GET /people/{{ownerId}}": rate(.3, .9)})
    machine("bravo", pods=2, rhythm="people", dispersion=R.choice([3, 6]), rates={get(second): rate(.4, 1.2), "sms.vendor.example:443 POST /send": rate(.2, .6), "scores.vendor.example:443 POST /check @worker2": rate(.4, .8), f"{get(own)} @flag1": rate(.3, .6)})
    machine("charlie", pods=1, process="python3", every={f"{name[cat]} GET /{cat}s/changes": R.choice(["30s", "60s", "2m"])}, rates={lst(second): rate(.2, .6)}, dispersion=5)
    machine("delta", pods=2, rhythm="people", dispersion=4, rates={"hooks POST /in": rate(.5, 1.2), get(own): rate(.2, .4)})
    machine("echo", pods=1, rhythm="business", dispersion=R.choice([1.5, 3]), rates={get(back[4]): rate(.3, .8)})
    machine("foxtrot", pods=1, dispersion=8, rates={f"{sign} POST /verify": rate(.6, 1.5)})
    def job(n, runs, **kw):
        callers[n] = {"workload": f"jobs/CronJob/{n}", "process": "python3", "runs": runs, **kw}
    job("hourly-sum", [{"hours": "hourly", "minute": R.randrange(60), "steps": [{"call": lst(back[3])}]}], cred=R.choice(["mtls", "basic", "bearer_opaque"]))
    job("hourly-pull", [{"hours": "hourly", "minute": R.randrange(60), "steps": [{"call": f"{name[second]} GET /{second}s/changes", "count": [1, 4], "rate": "1/s"}]}])
    job("night-dump", [{"hours": [(R.uniform(0, 5) - zone) % 24], "jitter": "5m", "what": "exporter", "steps": [{"call": f"{name[own]} GET /{own}s/export", "count": [20, 40], "rate": "1/s"}, {"call": f"{name[own]} GET /{own}s/{{{own}Id}}", "count": [300, 700], "rate": "4/s", "walk": f"{own}Id"}]}])
    job("weekly", [{"hours": [4.4], "weekdays": [R.randrange(7)], "jitter": "9m", "steps": [{"call": f"{sign} GET /people", "count": [60, 120], "rate": "2/s"}, {"call": lst(back[4]), "count": [20, 40], "rate": "1/s"}]}])
    job("new-job", [{"hours": [2.2], "jitter": "5m", "steps": [{"call": f"{name[cat]} GET /{cat}s/{{{cat}Id}}", "count": [200, 400], "rate": "3/s", "walk": f"{cat}Id"}]}], since="dep1")
    job("old-job", [{"hours": [1.3, 7.3, 13.3, 19.3], "steps": [{"call": f"{name[cat]} GET /{cat}s/changes", "count": [3, 6], "rate": "1/s"}]}], cred="basic", until=f"day {R.uniform(2.8, 3.4):.1f}")
    callers["prometheus"] = {"workload": "ops/StatefulSet/prometheus", "process": "prometheus", "cred": "none", "benign": "scrape", "every": {"* GET /metrics": R.choice(["5m", "8m"])}}
    def partner(n, **kw):
        callers[n] = {"outside": R.choice(["hosting", "office"]), "addresses": R.randrange(1, 4), "cred": "api_key", "rhythm": R.choice(["business", "business", "flat"]), "dispersion": R.choice([3, 5]), **kw}
    b2b, b2b1, b2b2 = f"{entry} GET {prefix}/b2b/{own}s", f"{entry} GET {prefix}/b2b/{own}s/{{{own}Id}}", f"{entry} POST {prefix}/b2b/{second}s"
    def ph(lo, hi):
        return f"{R.uniform(lo, hi):.0f}/h"
    partner("mike", owns={own + "Id": R.randrange(500, 2500)}, rates={b2b: ph(8, 20), b2b1: ph(20, 50)})
    partner("november", rates={b2b2: ph(15, 40), b2b: ph(10, 25)}, addresses=1)
    partner("oscar", owns={own + "Id": 900}, rates={b2b1: ph(15, 40), b2b2: ph(6, 12)})
    partner("papa", owns={own + "Id": 600}, rates={b2b1: ph(10, 25)}, until=f"day {R.uniform(2.7, 3.6):.1f}")
    partner("romeo", owns={own + "Id": 300}, rates={b2b1: ph(8, 20)}, until=f"day {R.uniform(2.7, 3.6):.1f}")
    partner("quebec", owns={own + "Id": 400}, rates={b2b: ph(6, 12), b2b1: ph(15, 30)}, since="onb")
    callers["crawler"] = {"outside": "hosting", "addresses": 2, "cred": "none", "runs": [{"hours": [R.uniform(0, 11), R.uniform(12, 23)], "jitter": "9m", "what": "indexer", "steps": [{"call": f"{entry} GET {prefix}/{cat}s/{{{cat}Id}}", "count": [200, 400], "rate": "40/min", "walk": cat + "Id"}]}]}

    last = days - 2
    benign += [{"what": "deploy", "id": "news", "services": [name[cat], edge], "day": 6, "hour": 9.5}, {"what": "deploy", "id": "worker2", "callers": ["bravo"], "days": [5, last], "hours": [8, 16]}, {"what": "deploy", "id": "dep1", "services": [name[cat]], "day": 6, "hour": 12},
               {"what": "deploy", "id": "tool2", "services": ["toolbox", model], "days": [5, last]}, {"what": "client_version", "id": "v2", "populations": ["p2"], "day": 5, "hour": 10, "ramp": "4d"}, {"what": "feature_flag", "id": "flag1", "callers": ["bravo"], "days": [6, last]},
               {"what": "partner_move", "caller": "november", "to": "hosting", "days": [5, last]}, {"what": "routine_deploys", "per_day": R.uniform(1, 3)}, {"what": "growth", "callers": ["mike"], "populations": ["p2"], "factor": R.uniform(1.5, 3)},
               {"what": "spike", "populations": ["p1", "p2"], "callers": ["alpha", "bravo", "delta"], "factor": R.uniform(4, 7), "for": R.choice(["70m", "2h", "3h"]), "day": last, "hour": (19 - zone) % 20}, {"what": "autoscale", "services": [edge, edge2, name[cat]], "pods": 2, "for": "4h", "day": last, "hour": (19 - zone) % 20 + .05},
               {"what": "holiday", "populations": ["p1", "p2", "crew"], "callers": ["mike", "november", "oscar"], "day": 7, "factor": .4}, {"what": "outage", "service": name[back[3]], "for": "25m", "days": [5, last]}, {"what": "outage", "service": name[cat], "for": "14m", "share": .7, "days": [5, last]},
               {"what": "rotation", "callers": ["alpha"], "redeploy": True, "days": [5, last]}, {"what": "rotation", "callers": ["oscar"], "overlap": R.choice(["10m", "3h"]), "days": [5, last]}, {"what": "rotation", "services": [name[second]], "overlap": "15m", "days": [5, last]},
               {"what": "onboarding", "id": "onb", "callers": ["quebec"], "day": 5, "ramp": "4d"}, {"what": "travel", "population": "p1", "users": 25, "for_days": [1, 5], "networks": ["home", "mobile", "hosting"]}, {"what": "travel", "population": "p2", "users": 25, "for_days": [1, 5], "networks": ["home", "mobile"]},
               {"what": "debug", "caller": name[own], "calls": [f"{sign} GET /metrics"], "count": 6, "days": [5, last]}]

    p1, p2 = ({"user": p} for p in ("p1", "p2"))
    def A(kind, strength, actor, calls=None, **kw):
        a = {"kind": kind, "strength": strength, "days": [5, last], "actor": actor, **kw}
        if calls:
            a["calls"] = calls
        attacks.append(a)
    def u(lo, hi, unit):
        return f"{R.uniform(lo, hi):.1f}/{unit}"
    item1, mine1, mine2, t2 = f"{entry} GET {prefix}/{cat}s/{{{cat}Id}}", f"{entry} GET {prefix}/{own}s/{{{own}Id}}", f"{edge2} GET {prefix2}/{own}s/{{{own}Id}}", f"{edge2} GET {prefix2}/{second}s/{{{second}Id}}"
    profile1, profile2, login1, login2 = f"{entry} PATCH {prefix}/profile", f"{edge2} PATCH {prefix2}/profile", f"{entry} POST {prefix}/session", f"{edge2} POST {prefix2}/session"
    list1 = f"{entry} GET {prefix}/{cat}s"
    A("volume_surge", "blatant", {"caller": "hourly-sum"}, [lst(back[3])], rate="8000/min", **{"for": "3m"})
    A("volume_surge", "medium", {"caller": "alpha", "pods": "all"}, [get(back[3])], rate=u(14, 25, "min"), hours=[6, 22], **{"for": "15m"})
    A("volume_surge", "low", {"caller": "charlie"}, [f"{name[cat]} GET /{cat}s/changes"], rate=u(9, 12, "min"), **{"for": "40m"})
    A("enumeration", "blatant", p1, [mine1], ids="sequential", rate=u(3, 8, "s"), status={"ok": .6, "404": .4}, **{"for": "3m"})
    A("enumeration", "medium", p2, [mine2], ids="others", rate=u(9, 25, "min"), status={"ok": .4, "403": .6}, **{"for": "25m"})
    A("enumeration", "low", p2, [t2], hours=[0, 14], ids="others", rate=u(40, 80, "h"), status={"ok": .8, "404": .2}, **{"for": "6h"})
    A("bfla", "blatant", p1, [f"{entry} GET {prefix}/staff/people", f"{entry} PUT {prefix}/staff/people/{{ownerId}}/rights", f"{entry} DELETE {prefix}/staff/{cat}s/{{{cat}Id}}"], ids="others", rate=u(6, 12, "min"), status={"ok": .5, "403": .5}, **{"for": "5m"})
    A("bfla", "medium", p1, [f"{entry} GET {prefix}/staff/people 2", f"{entry} PUT {prefix}/staff/people/{{ownerId}}/rights"], ids="others", rate="10/h", count=9, status={"ok": .6, "403": .4})
    A("bfla", "low", {"caller": "oscar"}, [f"{entry} DELETE {prefix}/staff/{cat}s/{{{cat}Id}}"], hours=[0, 14], rate="1/h", count=4, status={"ok": 1.0})
    A("credential_stuffing", "blatant", {"anonymous": "home"}, [login1], match="template", ids="others", rate=u(3, 8, "s"), status={"401": .98, "ok": .01, "429": .01}, **{"for": "3m"})
    A("credential_stuffing", "medium", {"anonymous": ["home", "hosting"], "addresses": R.randrange(30, 200)}, [login2], match="template", ids="others", rate=u(10, 25, "min"), status={"401": .985, "ok": .015}, **{"for": "35m"})
    A("credential_stuffing", "low", {"anonymous": ["home", "mobile"], "addresses": 200}, [login1], match="template", hours=[0, 14], ids="others", rate=u(.4, .8, "min"), status={"401": .98, "ok": .02}, **{"for": "8h"})
    A("token_theft", "blatant", {"caller": "echo", "credential": "alpha"}, [get(own)], rate=u(8, 30, "min"), **{"for": "10m"})
    A("token_theft", "medium", {"user": "p1", "from": "hosting", "parallel": 5, "rank": [3, 80]}, [f"{entry} GET {prefix}/profile", f"{entry} GET {prefix}/{own}s", mine1], rate=u(1.5, 3, "min"), **{"for": "50m"})
    A("token_theft", "low", {"caller": "mike", "from": "home"}, [b2b1, b2b], hours=[4, 16], rate=u(3, 6, "h"), **{"for": "6h"})
    A("scanning", "blatant", {"anonymous": "hosting"}, paths=[entry], rate=u(3, 10, "s"), **{"for": "3m"})
    A("scanning", "medium", {"caller": "bravo", "process": "curl"}, paths=[name[n] for n in back[:4]], rate=u(15, 40, "min"), **{"for": "6m"})
    A("scanning", "low", {"anonymous": "hosting"}, hours=[0, 12], paths=[entry], rate=u(8, 14, "h"), **{"for": "9h"})
    A("scraping", "blatant", {"anonymous": "hosting"}, [item1], ids="sequential", rate=u(5, 12, "s"), **{"for": "4m"})
    A("scraping", "medium", p1, [item1], ids="shuffled", rate=u(20, 40, "min"), **{"for": "40m"})
    A("scraping", "low", {"anonymous": "home"}, [item1], hours=[0, 13], ids="sequential", rate=u(2, 3, "min"), **{"for": "8h"})
    A("exfiltration", "blatant", {"caller": "bravo"}, [get(second)], rate="4/min", count=30, size=R.uniform(50, 120))
    A("exfiltration", "medium", {"caller": "november"}, [b2b], rate="20/h", size=R.uniform(12, 25), **{"for": "3h"})
    A("exfiltration", "low", {"caller": "alpha"}, [f"{sign} GET /people/{{ownerId}}"], hours=[0, 15], rate="5/h", size=R.uniform(10, 15), **{"for": "5h"})
    for strength, n, share, cl in (("blatant", own, 1.0, "payment_card $.x"), ("medium", cat, .2, "secret $.debug"), ("low", second, .05, "national_id $.z")):
        attacks.append({"kind": "data_exposure", "strength": strength, "days": [5, last], "endpoint": f"{name[n]} GET /{n}s/{{{n}Id}}", "class": cl, "share": share, "for": R.choice(["8h", "16h"])})
    A("lateral_movement", "blatant", {"caller": "foxtrot", "process": "curl"}, [lst(back[3]), lst(back[4]), f"{sign} GET /people", f"{name[own]} GET /{own}s/export"], rate=u(8, 20, "min"), status={"ok": .5, "403": .3, "401": .2}, **{"for": "5m"})
    A("lateral_movement", "medium", {"caller": "echo"}, [f"{sign} GET /people", f"{name[own]} GET /{own}s/export"], rate="12/h", count=10, status={"ok": .7, "403": .3})
    A("lateral_movement", "low", {"caller": "charlie"}, [f"{sign} GET /people"], hours=[0, 15], rate=u(1, 2, "h"), count=5)
    A("dormant_credential", "blatant", {"caller": "papa", "from": "hosting"}, [b2b1], ids="others", rate="8/min", **{"for": "20m"})
    A("dormant_credential", "medium", {"caller": "romeo"}, [b2b1], rate="15/h", **{"for": "2h"})
    A("dormant_credential", "low", {"caller": "old-job"}, [f"{name[cat]} GET /{cat}s/changes"], hours=[0, 18], rate="3/h", count=6)
    for a in attacks[-3:]:
        a["days"] = [last - 1, last]
    attacks[-2]["days"] = [last, last]
    attacks[-3]["days"] = [last - 1, last - 1]
    deep = [(1.5 + late - zone) % 24] * 2
    deep[1] += 2
    for strength, rt, n in (("blatant", "8/min", 90), ("medium", "30/h", 25), ("low", "14/h", 8)):
        A("off_hours", strength, {"user": "crew", "rank": [0, crew]}, [f"{entry} GET {prefix}/staff/people/{{ownerId}} 3", f"{entry} GET {prefix}/staff/people"], hours=deep, rate=rt, count=n)
    A("error_burst", "blatant", {"anonymous": "hosting"}, [list1, item1], rate="3/s", status={"400": .6, "500": .3, "ok": .1}, **{"for": "4m"})
    A("error_burst", "medium", p1, [profile1, f"{entry} POST {prefix}/{own}s", list1], rate="5/min", status={"400": .5, "422": .2, "500": .2, "ok": .1}, **{"for": "20m"})
    A("error_burst", "low", p2, [profile2, f"{edge2} POST {prefix2}/{own}s"], hours=[0, 17], rate="10/h", status={"400": .5, "422": .25, "500": .1, "ok": .15}, **{"for": "4h"})
    A("schema_probe", "blatant", p1, [profile1], body=["admin", "level", "tenant", "owner", "quota", "role", "paid"], per_call=3, rate="9/min", status={"ok": .5, "400": .5}, **{"for": "4m"})
    A("schema_probe", "medium", p2, [f"{edge2} POST {prefix2}/{own}s"], body=["price", "state", "owner"], per_call=2, rate="15/h", count=10, status={"ok": .7, "400": .3})
    A("schema_probe", "low", p1, [profile1], hours=[0, 18], body=["isStaff", "verified"], per_call=1, rate="2/h", count=5, status={"ok": 1.0})
    A("injection", "blatant", {"anonymous": "hosting"}, [f"{list1} 3", login1], rate="2/s", signs=["sqli", "cmdi", "traversal"], status={"ok": .3, "400": .4, "500": .3}, **{"for": "3m"})
    A("injection", "medium", p1, [list1, f"{entry} POST {prefix}/ask"], rate="1/min", signs=["sqli", "ssti"], signs_share=.8, **{"for": "25m"})
    A("injection", "low", {"anonymous": "home"}, [list1, login1], hours=[0, 17], rate="2/h", count=5, signs=[R.choice(["log4shell", "xss", "traversal"])])
    A("sequence_break", "blatant", p1, [f"{entry} POST {prefix}/flow/{{flowId}}/finish"], rate="6/min", **{"for": "8m"})
    A("sequence_break", "medium", p2, [f"{edge2} POST {prefix2}/flow/{{flowId}}/finish"], rate="25/h", **{"for": "1h"})
    A("sequence_break", "low", p1, [f"{entry} POST {prefix}/flow/{{flowId}}/finish"], hours=[0, 18], rate="2.5/h", count=7)
    for strength, caller, hosts, api, kw in (("blatant", name[own], ["up.a.example:443", "up.b.example:443"], {"POST /u": {"ms": 500, "bytes": 90, "in": 1500000}}, {"rate": "6/min", "for": "6m"}),
                                             ("medium", name[second], ["beat.c.example:443"], {"GET /t": {"ms": 90, "bytes": 300}}, {"rate": "12/h", "for": "3h", "spacing": "regular", "hours": [0, 18]}), ("low", "echo", ["n.d.example:443"], {"PUT /n": {"ms": 90, "bytes": 90, "in": 30000}}, {"rate": "1/h", "count": 4, "hours": [0, 17]})):
        A("egress", strength, {"caller": caller}, hosts=hosts, api=api, **kw)
    A("llm_abuse", "blatant", p1, [f"{entry} POST {prefix}/ask"], rate="15/min", size=20, sent=30, **{"for": "7m"})
    A("llm_abuse", "medium", {"caller": model}, ["toolbox MCP tools/call/sql"], rate="25/h", count=20)
    A("llm_abuse", "low", {"caller": model}, ["toolbox MCP tools/call/write_record"], hours=[0, 18], rate="1/h", count=4)

    json.dump({"name": f"{industry}-{seed}", "start": start, "days": days, "seed": seed, "nodes": R.randrange(3, 7), "issuer": "https://id.other.example", "shared_networks": ["mobile", "office"], "networks": networks, "rhythms": rhythms, "params": params,
               "everywhere": {"GET /metrics": {"ms": 6, "bytes": 20000, "sigma": .15, "auth": "none", "usual_errors": False}}, "services": services, "populations": populations, "callers": callers,
               "radiation": {"visitors_per_day": R.randrange(6, 40), "edges": [entry, edge2], "networks": ["hosting", "home"], "signs": ["traversal", "sqli", "log4shell"], "open": [list1, login1]}, "benign": benign, "attacks": attacks}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
