// Header fields as slices.
#ifndef DATAPLANE_HTTP_HEADERS_H_
#define DATAPLANE_HTTP_HEADERS_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>

#include "dataplane/base/arena.h"

namespace portico::http {

// Fields that Portico itself looks at, interned while parsing so that finding
// one compares integers. The names in lower case are in headers.cc.
enum class HeaderId : uint8_t {
  kOther = 0,
  kAccept, kAcceptEncoding, kAuthorization, kCacheControl, kConnection, kContentLength, kContentType, kCookie,
  kDate, kExpect, kForwarded, kGrpcStatus, kGrpcTimeout, kHost, kKeepAlive, kLocation, kOrigin,
  kProxyAuthenticate, kProxyAuthorization, kProxyConnection, kRateLimit, kRateLimitPolicy, kRetryAfter,
  kServer, kSetCookie, kTe, kTraceparent, kTracestate, kTrailer, kTransferEncoding, kUpgrade, kUserAgent, kVia,
  kWwwAuthenticate, kXApiKey, kXForwardedClientCert, kXForwardedFor, kXForwardedHost,
  kXForwardedProto, kXRequestId,
  kCount
};

// kOther if not one of them. Compares without case.
HeaderId LookUpHeader(std::string_view name);
std::string_view HeaderName(HeaderId id);  // lower case
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

static_assert(static_cast<unsigned>(HeaderId::kCount) <= 64, "a HeaderIds has one bit for each");

// A set of HeaderId as bits.
using HeaderIds = uint64_t;
constexpr HeaderIds IdBit(HeaderId id) { return HeaderIds{1} << static_cast<unsigned>(id); }

// Name as received (any case); removed fields have an empty name.
struct HeaderField {
  std::string_view name;
  std::string_view value;
  HeaderId id = HeaderId::kOther;
  // Set by the parser where name and value lie in memory as "name: value\r\n": the
  // length of all that. Says something only as long as both are what was parsed, see
  // IsWholeLine().
  uint32_t line = 0;

  // Whether the `line` bytes from name.data() on are this field, checked by the
  // parser, so that writing it is copying them.
  bool IsWholeLine() const {
    return line == name.size() + value.size() + 4 && value.data() == name.data() + name.size() + 2;
  }
};

// The fields of one message, in order. Names and values point to memory that
// lives as long as the message: the receive buffer or the arena. Grows in the
// arena.
class HeaderList {
 public:
  explicit HeaderList(base::Arena& arena) : arena_(&arena) {}

  // Of `ids`, those that may be in the list: it may say so of removed ones, but what
  // it does not name is not there.
  HeaderIds Among(HeaderIds ids) const { return ids_ & ids; }

  // No copies: `name` and `value` must live as long as the list.
  void Add(HeaderId id, std::string_view value);
  void Add(std::string_view name, std::string_view value);
  // `field.id` is what LookUpHeader(field.name) gives.
  void Add(const HeaderField& field) { Push(field); }
  // To add many at once: memory behind the fields for room() more, at least one; and how
  // many of them were made, with their ids.
  HeaderField* Space() {
    if (size_ == capacity_) Grow();
    return fields_ + size_;
  }
  size_t room() const { return capacity_ - size_; }
  void Filled(size_t count, HeaderIds ids) {
    size_ += count;
    ids_ |= ids;
  }
  // Replaces all of that name (adds one if there was none).
  void Set(HeaderId id, std::string_view value);
  void Set(std::string_view name, std::string_view value);
  // Returns how many were removed.
  size_t Remove(HeaderId id) { return Among(IdBit(id)) == 0 ? 0 : RemovePresent(id); }
  size_t Remove(std::string_view name);

  // First value; nullptr if absent.
  const HeaderField* Find(HeaderId id) const { return Among(IdBit(id)) == 0 ? nullptr : FindPresent(id); }
  const HeaderField* Find(std::string_view name) const;
  size_t Count(HeaderId id) const { return Among(IdBit(id)) == 0 ? 0 : CountPresent(id); }

  // Includes removed ones: skip fields with an empty name. A field may be changed or
  // removed in place, but keeps its `id`.
  HeaderField* begin() { return fields_; }
  HeaderField* end() { return fields_ + size_; }
  const HeaderField* begin() const { return fields_; }
  const HeaderField* end() const { return fields_ + size_; }
  size_t size() const { return size_; }
  void Clear() {
    size_ = 0;
    fields_ = nullptr;
    capacity_ = 0;
    ids_ = 0;
  }
  base::Arena& arena() const { return *arena_; }

 private:
  void Push(const HeaderField& field) {
    if (size_ == capacity_) Grow();
    ::new (&fields_[size_++]) HeaderField(field);
    ids_ |= IdBit(field.id);
  }
  void Grow();
  const HeaderField* FindPresent(HeaderId id) const;
  size_t RemovePresent(HeaderId id);
  size_t CountPresent(HeaderId id) const;

  base::Arena* arena_;
  HeaderField* fields_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
  HeaderIds ids_ = 0;
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_HEADERS_H_
