#!/usr/bin/env bash
# protoc.sh grpc|messages OUTPUT_ROOT FILE.proto... : generates C++ code for tools/bazel/proto.bzl.
set -euo pipefail

kind=$1
output_root=$2
shift 2

options=(--proto_path=. --proto_path=/usr/include "--cpp_out=$output_root")
if [[ $kind == grpc ]]; then
  options+=("--grpc_out=$output_root" "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin")
fi
/usr/bin/protoc "${options[@]}" "$@"

# Generated headers are not ours to keep free of warnings.
for file in "$@"; do
  for header in "$output_root/${file%.proto}".pb.h "$output_root/${file%.proto}".grpc.pb.h; do
    if [[ -f $header ]]; then
      sed -i '1i #pragma GCC system_header' "$header"
    fi
  done
done
