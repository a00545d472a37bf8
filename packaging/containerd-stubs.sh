#!/usr/bin/env bash
# Generate python/layerdisk/containerd/api from containerd's own .proto files, which its Go module holds.
# usage: packaging/containerd-stubs.sh [MODULE_VERSION]. The oldest grpcio-tools whose code the newest protobuf runs:
# generated code runs with protobuf of its own and of the next major version.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-v1.12.0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet grpcio-tools==1.72.1
(cd "$work" && go mod init stubs >/dev/null 2>&1)
api=$(cd "$work" && go mod download -json "github.com/containerd/containerd/api@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')

root=layerdisk/containerd/api # renamed, since `types` and `services` at the top would hide other packages
files=(types/mount types/descriptor services/diff/v1/diff services/content/v1/content services/snapshots/v1/snapshots services/images/v1/images services/leases/v1/leases)
for file in "${files[@]}"; do
    mkdir -p "$work/in/$root/$(dirname "$file")"
    sed "s#import \"types/#import \"$root/types/#" "$api/$file.proto" > "$work/in/$root/$file.proto"
done
mkdir "$work/out"
(cd "$work/in" && "$work/venv/bin/python" -m grpc_tools.protoc -I . --python_out="$work/out" \
    --pyi_out="$work/out" --grpc_python_out="$work/out" $(printf "$root/%s.proto " "${files[@]}"))
rm "$work/out/$root"/types/*_grpc.py # no services there
find "$work/out/$root" -type d -exec touch {}/__init__.py \;
rm -rf "python/$root"
cp -r "$work/out/$root" "python/$root"
