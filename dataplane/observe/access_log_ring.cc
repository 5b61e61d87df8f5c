#include "dataplane/observe/access_log_ring.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

namespace portico::observe {
namespace {

constexpr uint32_t kPadding = 0xffffffff;  // The sink of what fills the end of the memory.
constexpr size_t kAlignment = 8;

// A record in memory: Prefix, one Length for each text, the texts. All of it in one
// piece; what does not fit before the end of the memory starts at its beginning.
struct Prefix {
  uint32_t bytes;  // Of the whole record, a multiple of kAlignment
  uint32_t sink;
  base::UnixNanos start;
  int64_t duration_nanos, upstream_duration_nanos;
  uint64_t request_bytes, response_bytes;
  int32_t status;
  uint32_t attempts;
  uint16_t client_port;
  uint8_t request_headers, response_headers;
  bool query;
  int8_t grpc_status;
  net::IpAddress client;
};
using Length = uint16_t;
static_assert(std::is_trivially_copyable_v<Prefix>);

// The first two members, alone when the rest is padding.
struct Mark {
  uint32_t bytes;
  uint32_t sink;
};
static_assert(sizeof(Mark) == kAlignment);

// In the order in which they are stored.
constexpr std::array<std::string_view AccessRecord::*, 15> kTexts = {
    &AccessRecord::request_id, &AccessRecord::method,   &AccessRecord::host,
    &AccessRecord::path,       &AccessRecord::route,    &AccessRecord::upstream,
    &AccessRecord::endpoint,   &AccessRecord::consumer, &AccessRecord::reason,
    &AccessRecord::detail,     &AccessRecord::listener, &AccessRecord::protocol,
    &AccessRecord::user_agent, &AccessRecord::tls_version, &AccessRecord::tls_client,
};

static_assert(AccessLogRing::kMaxTextBytes <= std::numeric_limits<Length>::max());
static_assert(AccessLogRing::kMaxHeaders <= std::numeric_limits<uint8_t>::max());

using HeaderSpan = absl::Span<const std::pair<std::string_view, std::string_view>>;

std::string_view Cut(std::string_view text) { return text.substr(0, AccessLogRing::kMaxTextBytes); }

// Calls visit(text), each cut to its bound, in the order in which they are stored.
template <typename Visitor>
void ForEachText(const AccessRecord& record, HeaderSpan of_request, HeaderSpan of_response,
                 Visitor&& visit) {
  for (const auto text : kTexts) visit(Cut(record.*text));
  for (const HeaderSpan headers : {of_request, of_response}) {
    for (const auto& [name, value] : headers) {
      visit(Cut(name));
      visit(Cut(value));
    }
  }
}

}  // namespace

AccessLogRing::AccessLogRing(size_t bytes)
    : mask_(std::bit_ceil(std::max<size_t>(bytes, 4096)) - 1),
      memory_(std::make_unique<char[]>(mask_ + 1)) {}

bool AccessLogRing::HasRoom(size_t bytes) {
  const uint64_t head = head_.load(std::memory_order_relaxed);
  if (head + bytes - seen_tail_ <= capacity()) return true;
  seen_tail_ = tail_.load(std::memory_order_acquire);
  return head + bytes - seen_tail_ <= capacity();
}

bool AccessLogRing::Push(uint32_t sink, const AccessRecord& record) {
  const HeaderSpan of_request = record.request_headers.subspan(0, kMaxHeaders);
  const HeaderSpan of_response =
      record.response_headers.subspan(0, kMaxHeaders - of_request.size());
  size_t text_bytes = 0;
  ForEachText(record, of_request, of_response,
              [&text_bytes](std::string_view text) { text_bytes += text.size(); });

  const size_t count = kTexts.size() + 2 * (of_request.size() + of_response.size());
  const size_t raw = sizeof(Prefix) + count * sizeof(Length) + text_bytes;
  const size_t bytes = (raw + kAlignment - 1) & ~(kAlignment - 1);
  uint64_t head = head_.load(std::memory_order_relaxed);
  const size_t to_end = capacity() - (head & mask_);
  const size_t padding = bytes > to_end ? to_end : 0;
  if (bytes > capacity() || !HasRoom(bytes + padding)) {
    dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return false;
  }
  if (padding != 0) {
    const Mark mark{static_cast<uint32_t>(padding), kPadding};
    std::memcpy(&memory_[head & mask_], &mark, sizeof(mark));
    head += padding;
  }

  Prefix prefix{};
  prefix.bytes = static_cast<uint32_t>(bytes);
  prefix.sink = sink;
  prefix.start = record.start;
  prefix.duration_nanos = record.duration_nanos;
  prefix.upstream_duration_nanos = record.upstream_duration_nanos;
  prefix.request_bytes = record.request_bytes;
  prefix.response_bytes = record.response_bytes;
  prefix.status = record.status;
  prefix.attempts = record.attempts;
  prefix.client_port = record.client_port;
  prefix.request_headers = static_cast<uint8_t>(of_request.size());
  prefix.response_headers = static_cast<uint8_t>(of_response.size());
  prefix.query = record.query;
  prefix.grpc_status = static_cast<int8_t>(record.grpc_status);
  prefix.client = record.client;
  char* out = &memory_[head & mask_];
  std::memcpy(out, &prefix, sizeof(prefix));
  char* lengths = out + sizeof(prefix);
  char* texts = lengths + count * sizeof(Length);
  ForEachText(record, of_request, of_response, [&lengths, &texts](std::string_view text) {
    const auto length = static_cast<Length>(text.size());
    std::memcpy(lengths, &length, sizeof(length));
    lengths += sizeof(length);
    if (!text.empty()) std::memcpy(texts, text.data(), text.size());
    texts += text.size();
  });
  head_.store(head + bytes, std::memory_order_release);
  return true;
}

AccessRecord AccessLogRing::Decode(const char* at, Headers& headers) const {
  Prefix prefix;
  std::memcpy(&prefix, at, sizeof(prefix));
  const size_t header_count = size_t{prefix.request_headers} + prefix.response_headers;
  const char* lengths = at + sizeof(prefix);
  const char* bytes = lengths + (kTexts.size() + 2 * header_count) * sizeof(Length);
  const auto next = [&lengths, &bytes] {
    Length size;
    std::memcpy(&size, lengths, sizeof(size));
    lengths += sizeof(size);
    const std::string_view text(bytes, size);
    bytes += size;
    return text;
  };

  AccessRecord record;
  record.start = prefix.start;
  record.duration_nanos = prefix.duration_nanos;
  record.upstream_duration_nanos = prefix.upstream_duration_nanos;
  record.request_bytes = prefix.request_bytes;
  record.response_bytes = prefix.response_bytes;
  record.status = prefix.status;
  record.attempts = prefix.attempts;
  record.client_port = prefix.client_port;
  record.query = prefix.query;
  record.grpc_status = prefix.grpc_status;
  record.client = prefix.client;
  for (const auto text : kTexts) record.*text = next();
  headers.clear();
  for (size_t i = 0; i < header_count; ++i) {
    const std::string_view name = next();
    headers.emplace_back(name, next());
  }
  const absl::Span<const std::pair<std::string_view, std::string_view>> all(headers);
  record.request_headers = all.subspan(0, prefix.request_headers);
  record.response_headers = all.subspan(prefix.request_headers);
  return record;
}

size_t AccessLogRing::Drain(
    const std::function<void(uint32_t sink, const AccessRecord& record)>& visit) {
  const uint64_t end = head_.load(std::memory_order_acquire);
  const uint64_t begin = tail_.load(std::memory_order_relaxed);
  for (uint64_t tail = begin; tail != end;) {
    const char* at = &memory_[tail & mask_];
    Mark mark;
    std::memcpy(&mark, at, sizeof(mark));
    if (mark.sink != kPadding) visit(mark.sink, Decode(at, headers_));
    tail += mark.bytes;
    tail_.store(tail, std::memory_order_release);
  }
  return static_cast<size_t>(end - begin);
}

}  // namespace portico::observe
