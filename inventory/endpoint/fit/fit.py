#!/usr/bin/env python3
"""Fits the trees of one pass to rows and writes them into the model file.

usage: fit.py 1|2 MODEL.bin ROWS...

ROWS are what cmd/endpointfit writes; ROWS@N counts N times. Needs lightgbm 4 and numpy; nothing of either is needed at run time.
"""
import struct, sys
import lightgbm as lgb
import numpy as np

TREES = 300
MAGIC = b"gnomon-endpoint-model-1\n"


def rows(file):
    with open(file, "rb") as f:
        cols = struct.unpack("<I", f.read(4))[0]
        return np.fromfile(f, dtype="<f4").reshape(-1, cols)


def weights(svc):
    """Every service counts by the root of its size: scores are means over services, and small ones are noisy."""
    _, inv, cnt = np.unique(svc, return_inverse=True, return_counts=True)
    w = 1 / np.sqrt(cnt[inv])
    return w / w.mean()


def flatten(booster):
    roots, nodes, leaves = [], [], []

    def walk(t):
        if "leaf_value" in t:
            leaves.append(t["leaf_value"])
            return ~(len(leaves) - 1)
        i = len(nodes)
        nodes.append(None)
        left = walk(t["left_child"])
        right = walk(t["right_child"])
        assert t["decision_type"] == "<="
        nodes[i] = (t["split_feature"], np.float32(t["threshold"]), left, right)
        return i

    for tree in booster.dump_model()["tree_info"]:
        roots.append(walk(tree["tree_structure"]))
    return roots, nodes, leaves


def pack(e):
    roots, nodes, leaves = e
    b = struct.pack("<III", len(roots), len(nodes), len(leaves))
    b += b"".join(struct.pack("<i", r) for r in roots)
    b += b"".join(struct.pack("<Hfii", *n) for n in nodes)
    return b + b"".join(struct.pack("<f", v) for v in leaves)


def passes(b):
    """The packed ensembles of a model file; an absent one answers 'literal'."""
    out, at = [], len(MAGIC)
    for _ in range(2):
        if len(b) < at + 12:
            out.append(pack(([~0], [], [-4.0])))
            continue
        t, s, l = struct.unpack_from("<III", b, at)
        end = at + 12 + 4 * t + 14 * s + 4 * l
        out.append(b[at:end])
        at = end
    return out


def main():
    which, model = int(sys.argv[1]), sys.argv[2]
    sets, w = [], []
    for f in sys.argv[3:]:
        file, _, times = f.partition("@")
        sets.append(rows(file))
        w.append(weights(sets[-1][:, 2]) * float(times or 1))
    r, w = np.concatenate(sets), np.concatenate(w)
    y, x = r[:, 0], r[:, 3:].copy()
    params = dict(objective="binary", learning_rate=0.05, num_leaves=31, min_data_in_leaf=150, feature_fraction=0.3, bagging_fraction=0.7, bagging_freq=1,
                  lambda_l2=5.0, max_bin=127, num_threads=1, verbosity=-1, seed=7, deterministic=True, force_row_wise=True)
    b = lgb.train(params, lgb.Dataset(x, y, weight=w), TREES)
    p = b.predict(x)
    print(f"pass {which}: {len(y)} rows, {y.mean():.3f} parameters, error on them {np.mean((p > 0.5) != y):.4f}", file=sys.stderr)
    imp = b.feature_importance("gain")
    print(" ".join(f"{i}:{imp[i] / imp.sum():.3f}" for i in np.argsort(-imp)[:25]), file=sys.stderr)
    try:
        old = open(model, "rb").read()
    except FileNotFoundError:
        old = b""
    both = passes(old)
    both[which - 1] = pack(flatten(b))
    open(model, "wb").write(MAGIC + b"".join(both))
    print(len(MAGIC + b"".join(both)), "bytes", file=sys.stderr)


main()
