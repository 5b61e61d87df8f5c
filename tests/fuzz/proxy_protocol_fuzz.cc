// The PROXY header parser: no crash, and the same answer however the bytes come in.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/base/check.h"
#include "dataplane/net/proxy_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using portico::net::ParseProxyHeader;
  using portico::net::ProxyParseResult;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ProxyParseResult whole = ParseProxyHeader(bytes);
  if (whole.state == ProxyParseResult::kDone) {
    PORTICO_CHECK(whole.header.consumed > 0 && whole.header.consumed <= size);
    PORTICO_CHECK(whole.header.consumed <= portico::net::kMaxProxyHeader);
    PORTICO_CHECK(whole.header.source.has_value() == whole.header.destination.has_value());
  }
  if (whole.state == ProxyParseResult::kNeedMore) PORTICO_CHECK(size < portico::net::kMaxProxyHeader);
  if (whole.state == ProxyParseResult::kError) PORTICO_CHECK(!whole.error.ok());
  // A shorter beginning knows no more; a header is done exactly at its end.
  for (size_t part = 0; part < size && part < 600; ++part) {
    const ProxyParseResult early = ParseProxyHeader(bytes.substr(0, part));
    if (early.state == ProxyParseResult::kDone) {
      PORTICO_CHECK(whole.state == ProxyParseResult::kDone);
      PORTICO_CHECK(whole.header.consumed == early.header.consumed && early.header.consumed <= part);
      PORTICO_CHECK(whole.header.source == early.header.source);
    }
    if (early.state == ProxyParseResult::kError) PORTICO_CHECK(whole.state == ProxyParseResult::kError);
  }
  return 0;
}
