#!/usr/bin/env bash
# hidden_symbols_test.sh BINARY: BINARY contains BoringSSL and shows none of it to the dynamic linker.
set -euo pipefail

binary=$1
pattern=' (SSL|EVP|X509|RSA|BIO|CRYPTO|EC_KEY)_[A-Za-z0-9_]+$'

if [[ $(nm "$binary" | grep -Ec ' t SSL_do_handshake$') != 1 ]]; then
  echo "$binary does not contain BoringSSL as local symbols: this test would show nothing" >&2
  exit 1
fi
if exported=$(nm -D --defined-only "$binary" | grep -E "$pattern"); then
  echo "$binary exports symbols that OpenSSL has, too:" >&2
  head -n 20 <<<"$exported" >&2
  exit 1
fi
