#!/usr/bin/env bash
# Brings a bare Debian 12 machine to the point where Portico builds and its tests run.
#
#   sudo tools/setup.sh
#
# It can be run again at any time: when nothing is missing it takes about a second and needs no network.
# It installs Debian packages, puts BoringSSL's sources under /usr/local/src/portico, and changes
# nothing else: no service is started, and the machine's package sources stay as they are.
set -euo pipefail

readonly SOURCE_ROOT=/usr/local/src/portico
readonly BORINGSSL_DIR=$SOURCE_ROOT/boringssl
readonly BORINGSSL_PACKAGE=android-platform-external-boringssl
readonly BORINGSSL_VERSION=13.0.0+r24
readonly BORINGSSL_SHA256=583b7aeee1fca68b8244d086cea6fca23bd19d517bd63f0b9de714e048f92a7d
readonly LOG=${PORTICO_SETUP_LOG:-/tmp/portico-setup.log}

# Each entry is package=version, where the version is what `dpkg-query` must show a prefix of.

# The compiler, the build tool and what the scripts call.
readonly BUILD_PACKAGES=(
  bazel-bootstrap=4.2.3
  bazel-skylib=1.0.3
  bazel-rules-proto=4.0.0
  bazel-rules-java=4.0.0
  bazel-platforms=0.0.2
  "g++=4:12."
  binutils=2.40
  libc6-dev=2.36
  python3=3.11.
  python3-venv=3.11.
  git=1:2.39.
  curl=7.88.
  ca-certificates=2
  openssl=3.0.
  dpkg-dev=1.21.
  xz-utils=5.4.
  procps=2:4.0.
)

# Libraries that Portico links.
readonly LIBRARY_PACKAGES=(
  "libgrpc++-dev=1.51."
  protobuf-compiler-grpc=1.51.
  libprotobuf-dev=3.21.
  protobuf-compiler=3.21.
  libabsl-dev=20220623.
  libnghttp2-dev=1.52.
  node-llhttp=8.1.0
  prometheus-cpp-dev=1.0.
  libcivetweb-dev=1.15
  libsqlite3-dev=3.40.
  libre2-dev=20220601
  nlohmann-json3-dev=3.11.
  libyaml-cpp-dev=0.7.
  libcli11-dev=2.1.
  liburing-dev=2.3
  libhiredis-dev=0.14.
  zlib1g-dev=1:1.2.
)

# Test libraries, sanitizers, style tools, and the real programs that tests and benchmarks talk to.
readonly TEST_PACKAGES=(
  libgtest-dev=1.12.
  libgmock-dev=1.12.
  libbenchmark-dev=1.7.
  clang=1:14.
  libclang-rt-14-dev=1:14.
  clang-format=1:14.
  clang-tidy=1:14.
  haproxy=2.6.
  nginx-light=1.22.
  libssl-dev=3.0.
  nghttp2-client=1.52.
  nghttp2-server=1.52.
  prometheus=2.42.
  redis-server=5:7.0.
  strace=6.1
  valgrind=1:3.19.
  wrk=4.1.
)

readonly PACKAGES=("${BUILD_PACKAGES[@]}" "${LIBRARY_PACKAGES[@]}" "${TEST_PACKAGES[@]}")

die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

say() { printf 'setup: %s\n' "$*"; }

# Runs a command with its output in the log; shows the end of the log when it fails.
quietly() {
  if ! "$@" >>"$LOG" 2>&1; then
    tail -n 30 "$LOG" >&2
    die "failed: $* (everything is in $LOG)"
  fi
}

# Prints `package version` for each package that is fully installed.
installed_packages() {
  dpkg-query -W -f='${db:Status-Abbrev}\t${binary:Package}\t${Version}\n' "${PACKAGES[@]%%=*}" 2>/dev/null |
    awk -F'\t' '$1 ~ /^ii/ { sub(/:.*/, "", $2); print $2, $3 }' || true
}

missing_packages() {
  local entry have
  have=$(installed_packages | cut -d' ' -f1)
  for entry in "${PACKAGES[@]}"; do
    grep -qxF -- "${entry%%=*}" <<<"$have" || printf '%s\n' "${entry%%=*}"
  done
}

check_versions() {
  local entry name want have wrong=0
  local versions
  versions=$(installed_packages)
  for entry in "${PACKAGES[@]}"; do
    name=${entry%%=*}
    want=${entry#*=}
    have=$(awk -v name="$name" '$1 == name { print $2; exit }' <<<"$versions")
    if [[ "$have" != "$want"* ]]; then
      printf 'setup: %s is at version %s, but Portico is built and tested with %s*\n' \
        "$name" "${have:-(not installed)}" "$want" >&2
      wrong=1
    fi
  done
  [[ $wrong == 0 ]] || die "wrong package versions; Portico needs the packages of Debian 12 (bookworm)"
}

# Package indices of sources that have nothing to do with Debian may be broken on this machine. That
# is not our business: what counts is whether the packages can be found afterwards.
update_indices() {
  apt-get -q update "$@" >>"$LOG" 2>&1 || say "apt-get update reported errors (see $LOG); going on"
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  if [[ ${#missing[@]} == 0 ]]; then
    return
  fi
  say "installing ${#missing[@]} packages (log: $LOG)"
  update_indices

  # Debian starts the daemons it installs. Ours are only run by tests, on ports of their own.
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy && ! -L $policy ]]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  quietly apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install --no-install-recommends \
    "${missing[@]}"
}

# Writes a list of the machine's own package sources, with source packages switched on, to $1.
source_package_lists() {
  local directory=$1 file
  mkdir -p "$directory"
  for file in /etc/apt/sources.list.d/*.sources; do
    [[ -f $file ]] || continue
    sed 's/^Types:.*/Types: deb-src/' "$file" >"$directory/$(basename "$file")"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ -f $file ]] || continue
    sed -n 's/^deb[[:space:]]/deb-src /p' "$file" >"$directory/$(basename "$file" .list).list"
  done
}

# ssl_buffer.cc takes the room of every record from malloc(), past the hooks that all other memory of
# BoringSSL comes through, so that it need not be wiped. It gets hooks of its own, which the data plane
# may define (dataplane/tls/memory.cc).
let_records_choose_their_memory() {
  local file=$1/src/ssl/ssl_buffer.cc
  [[ $(grep -c ' free(buf_);' "$file") == 2 && $(grep -c ')malloc(new_cap ' "$file") == 1 &&
    $(grep -c '^#include "internal.h"$' "$file") == 1 ]] ||
    die "$file does not take memory where it did; look at let_records_choose_their_memory"
  sed -i -e 's/ free(buf_);/ RecordFree(buf_);/' -e 's/)malloc(new_cap /)RecordAlloc(new_cap /' "$file"
  sed -i '/^#include "internal.h"$/r /dev/stdin' "$file" <<'EOF'

extern "C" {
__attribute__((weak)) void *PORTICO_record_alloc(size_t size);
__attribute__((weak)) void PORTICO_record_free(void *block);
}

static void *RecordAlloc(size_t size) {
  return PORTICO_record_alloc != nullptr ? PORTICO_record_alloc(size) : malloc(size);
}

static void RecordFree(void *block) {
  PORTICO_record_free != nullptr ? PORTICO_record_free(block) : free(block);
}
EOF
}

install_boringssl() {
  local stamp=$BORINGSSL_DIR/.portico-sha256
  # What stands in the stamp: the tarball and what is done to it.
  local wanted="$BORINGSSL_SHA256 record-memory"
  if [[ -f $stamp && $(<"$stamp") == "$wanted" && -f $BORINGSSL_DIR/BUILD ]]; then
    return
  fi
  say "fetching the sources of BoringSSL $BORINGSSL_VERSION"
  local work tarball
  work=$(mktemp -d)
  chmod 755 "$work"
  # Own lists and own index directory: the machine's package sources are not touched.
  source_package_lists "$work/sources.list.d"
  mkdir -p "$work/lists/partial" "$work/download"
  local apt_options=(
    -o "Dir::Etc::sourcelist=/dev/null"
    -o "Dir::Etc::sourceparts=$work/sources.list.d"
    -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
    -o "APT::Sandbox::User=root"
  )
  update_indices "${apt_options[@]}"
  (
    cd "$work/download"
    quietly apt-get -q "${apt_options[@]}" source --download-only --only-source \
      "$BORINGSSL_PACKAGE"
  )
  tarball=$work/download/${BORINGSSL_PACKAGE}_$BORINGSSL_VERSION.orig.tar.xz
  [[ -f $tarball ]] || die "the source package holds no $(basename "$tarball"); see $LOG"
  printf '%s  %s\n' "$BORINGSSL_SHA256" "$tarball" | sha256sum --check --quiet >>"$LOG" 2>&1 ||
    die "$(basename "$tarball") does not have the expected sha256 $BORINGSSL_SHA256"

  mkdir -p "$work/boringssl" "$SOURCE_ROOT"
  quietly tar -xJf "$tarball" -C "$work/boringssl" --strip-components=1 --no-same-owner
  : >"$work/boringssl/WORKSPACE"
  let_records_choose_their_memory "$work/boringssl"
  printf '%s\n' "$wanted" >"$work/boringssl/.portico-sha256"
  rm -rf "$BORINGSSL_DIR"
  mv "$work/boringssl" "$BORINGSSL_DIR"
  rm -rf "$work"
}

main() {
  [[ -r /etc/debian_version ]] || die "this is not Debian; Portico is built on Debian 12 (bookworm)"
  [[ $(</etc/debian_version) == 12* ]] ||
    die "this is Debian $(</etc/debian_version); Portico is built on Debian 12 (bookworm)"

  export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
  if [[ $(id -u) != 0 ]]; then
    [[ -z $(missing_packages) && -f $BORINGSSL_DIR/.portico-sha256 ]] ||
      die "something is missing and installing needs root: sudo tools/setup.sh"
  else
    : >"$LOG"
    install_packages
    install_boringssl
  fi
  check_versions
  say "ready"
}

main "$@"
