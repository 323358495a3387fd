#!/bin/sh
# Every benchmark in turn: sh benchmarks/all.sh PYTHON
set -u
for module in start api watch dns vip workloads ingress ingress_rules testing; do
    [ -f "benchmarks/$module.py" ] || continue
    echo "== $module"
    "$1" -m "benchmarks.$module" || exit 1
done
