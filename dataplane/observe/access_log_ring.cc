#include "dataplane/observe/access_log_ring.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

namespace portico::observe {
namespace {

constexpr uint32_t kPadding = 0xffffffff;  // The sink of what fills the end of the memory.
constexpr size_t kAlignment = 8;

// A record in memory: Prefix, one uint32_t length for each text, the texts. All of it
// in one piece; what does not fit before the end of the memory starts at its beginning.
struct Prefix {
  uint32_t bytes;  // Of the whole record, a multiple of kAlignment
  uint32_t sink;
  base::UnixNanos start;
  int64_t duration_nanos, upstream_duration_nanos;
  uint64_t request_bytes, response_bytes;
  int32_t status;
  uint32_t attempts;
  uint16_t client_port;
  uint16_t request_headers, response_headers;
  net::IpAddress client;
};
static_assert(std::is_trivially_copyable_v<Prefix>);

// The first two members, alone when the rest is padding.
struct Mark {
  uint32_t bytes;
  uint32_t sink;
};
static_assert(sizeof(Mark) == kAlignment);

// In the order in which they are stored.
constexpr std::array<std::string_view AccessRecord::*, 14> kTexts = {
    &AccessRecord::request_id, &AccessRecord::method,        &AccessRecord::host,
    &AccessRecord::path,       &AccessRecord::query_present, &AccessRecord::route,
    &AccessRecord::upstream,   &AccessRecord::endpoint,      &AccessRecord::consumer,
    &AccessRecord::reason,     &AccessRecord::detail,        &AccessRecord::listener,
    &AccessRecord::protocol,   &AccessRecord::user_agent,
};

constexpr size_t kMaxTexts = kTexts.size() + 2 * AccessLogRing::kMaxHeaders;

// The texts of one record, cut to their bound.
struct Texts {
  std::array<std::string_view, kMaxTexts> text;
  size_t count = 0;
  size_t bytes = 0;

  void Add(std::string_view value) {
    text[count] = value.substr(0, AccessLogRing::kMaxTextBytes);
    bytes += text[count].size();
    ++count;
  }
};

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
  Texts texts;
  for (const auto text : kTexts) texts.Add(record.*text);
  const size_t of_request = std::min(record.request_headers.size(), kMaxHeaders);
  const size_t of_response = std::min(record.response_headers.size(), kMaxHeaders - of_request);
  const auto add_headers = [&texts](const auto& headers, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      texts.Add(headers[i].first);
      texts.Add(headers[i].second);
    }
  };
  add_headers(record.request_headers, of_request);
  add_headers(record.response_headers, of_response);

  const size_t raw = sizeof(Prefix) + texts.count * sizeof(uint32_t) + texts.bytes;
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
  prefix.request_headers = static_cast<uint16_t>(of_request);
  prefix.response_headers = static_cast<uint16_t>(of_response);
  prefix.client = record.client;
  char* out = &memory_[head & mask_];
  std::memcpy(out, &prefix, sizeof(prefix));
  out += sizeof(prefix);
  for (size_t i = 0; i < texts.count; ++i) {
    const uint32_t size = static_cast<uint32_t>(texts.text[i].size());
    std::memcpy(out, &size, sizeof(size));
    out += sizeof(size);
  }
  for (size_t i = 0; i < texts.count; ++i) {
    out = std::copy(texts.text[i].begin(), texts.text[i].end(), out);
  }
  head_.store(head + bytes, std::memory_order_release);
  return true;
}

AccessRecord AccessLogRing::Decode(const char* at, Headers& headers) const {
  Prefix prefix;
  std::memcpy(&prefix, at, sizeof(prefix));
  const size_t header_count = size_t{prefix.request_headers} + prefix.response_headers;
  const char* lengths = at + sizeof(prefix);
  const char* bytes = lengths + (kTexts.size() + 2 * header_count) * sizeof(uint32_t);
  const auto next = [&lengths, &bytes] {
    uint32_t size;
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
