#!/usr/bin/env bash
# Fuzzes on stable Rust: rust/fuzz/run.sh SECONDS [TARGET...]    (SECONDS for each target; all targets if none is named)
#
# Needs cargo, a C++ compiler (for libFuzzer itself) and python3. What libFuzzer says is in target/TARGET.log; inputs
# that it found worth keeping stay in corpus/ and the next run goes on from there.
set -euo pipefail
if ! [[ "${1:-}" =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 SECONDS [TARGET...]" >&2
    exit 2
fi
seconds=$1
shift
cd "$(dirname "$0")"
targets=("$@")
if [ $# -eq 0 ]; then targets=(tar_reader convert); fi

# Longest input in bytes: room for a file that is written without being gathered, and some entries around it.
max_len=131074

# As cargo-fuzz sets them. Only with a --target do the flags spare build scripts, which have no libFuzzer to call.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
export CARGO_TARGET_DIR=target
cargo build --quiet --release --locked --target "$host" "${targets[@]/#/--bin=}"
python3 seeds.py corpus "$max_len"

status=0
for target in "${targets[@]}"; do
    binary=target/$host/release/$target
    log=target/$target.$$.log # its own: somebody else may be running this
    failed=
    mkdir -p "artifacts/$target"
    "$binary" "corpus/$target" -max_total_time="$seconds" -max_len="$max_len" -rss_limit_mb=1024 -timeout=20 \
        -artifact_prefix="artifacts/$target/" -print_final_stats=1 >"$log" 2>&1 || failed=1
    mv "$log" "target/$target.log"
    log=target/$target.log
    if [ -z "$failed" ]; then
        sed -n "s/^Done \([0-9]*\) runs in \([0-9]*\) second.*/$target: \1 runs in \2 s, no failure/p" "$log"
    else
        status=1
        tail -n 40 "$log" >&2
        artifact=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        echo "$target: FAILED, the input is rust/fuzz/${artifact:-(not written)}" >&2
        echo "again, from rust/fuzz: $binary $artifact" >&2
    fi
done
exit $status
