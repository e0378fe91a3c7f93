#!/bin/bash
# go.sh seeds... : run and score pooled
cd /tmp/detect/run && GOFLAGS=-mod=mod go build -o run . || exit 1
dirs=(); args=()
for s in "$@"; do d=$s; [ -d /tmp/detect/d$s ] && d=/tmp/detect/d$s; [ -d /tmp/detect/$s ] && d=/tmp/detect/$s; dirs+=($d); args+=($d $d/alerts.jsonl); done
nice -n 5 ./run "${dirs[@]}"
python3 /work/shared/bench/detect/score.py --list "${args[@]}"
