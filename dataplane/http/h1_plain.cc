#include "dataplane/http/h1_plain.h"

#include <cstdint>
#include <cstring>

#include "dataplane/http/characters.h"
#include "dataplane/http/h1_fields.h"
#include "dataplane/http/header_names.h"
#include "dataplane/http/path.h"
#include "dataplane/http/scan.h"

namespace portico::http::internal {
namespace {

constexpr HeaderIds kFramingIds = IdBit(HeaderId::kConnection) | IdBit(HeaderId::kContentLength) |
                                  IdBit(HeaderId::kTransferEncoding) | IdBit(HeaderId::kHost) |
                                  IdBit(HeaderId::kExpect);

// Whether the bytes at `at` are those of `text`.
template <typename Word, size_t kSize>
bool IsAt(const char* at, const char (&text)[kSize]) {
  static_assert(kSize == sizeof(Word) + 1);
  Word word, wanted;
  std::memcpy(&word, at, sizeof(Word));
  std::memcpy(&wanted, text, sizeof(Word));
  return word == wanted;
}

// Before this, whole blocks can be read, and no byte of one is the input's last.
inline const char* WholeStop(const char* end) { return end - kBlockBytes; }

// The first byte at or after `at` that is no visible ASCII and no space; nullptr if
// there is none (or, if kWhole, none found while whole blocks are left).
template <bool kWhole>
inline const char* FindTextEnd(const char* at, const char* end) {
  const char* const stop = kWhole ? WholeStop(end) : end;
  for (; at < stop; at += kBlockBytes) {
    if (const unsigned bits = Block<kWhole>(at, end).NotText(); bits != 0)
      return at + FirstBit(bits);
  }
  return nullptr;
}

// Looks up a name, of which `block` is the first part. False: it is none.
template <bool kWhole>
inline bool ReadName(const Block<kWhole>& block, std::string_view name, HeaderId& id) {
  const bool short_name = kWhole && name.size() <= kBlockBytes;
  const unsigned all = (1u << (name.size() & 31)) - 1;
  id = GuessName(name);
  if (id != HeaderId::kOther) {
    const NameWords& words = kNameWords[static_cast<size_t>(id)];
    const bool is = short_name ? (~block.Folded(words.fold.data(), words.text.data()) & all) == 0
                               : IsName(name, words);
    // Known names need no other check.
    if (is) return true;
    id = HeaderId::kOther;
  }
  return (short_name && (~block.NameCharacters() & all) == 0) || IsToken(name);
}

// Parses the field line at `at`. Returns what follows it, or nullptr where it is not plain
// or not complete (or, if kWhole, is rare or near the end of the input).
template <bool kWhole>
[[gnu::always_inline]] inline const char* ReadField(const char* const at, const char* end,
                                                    HeaderField& field) {
  constexpr ptrdiff_t kMaxPlainName = 4 * kBlockBytes;
  const char* const stop = kWhole ? WholeStop(end) : end;
  const Block<kWhole> block(at, end);
  const char* colon = at;
  unsigned found = block.Equal(':');
  while (found == 0) {
    colon += kBlockBytes;
    if (colon - at >= kMaxPlainName || colon >= stop) return nullptr;
    found = Block<kWhole>(colon, end).Equal(':');
  }
  colon += FirstBit(found);
  const char* value = colon + 1;
  if (colon == at || (kWhole ? value >= stop : end - value < 4)) return nullptr;
  const bool spaced = *value == ' ';
  if (kWhole && !spaced) return nullptr;
  value += spaced ? 1 : 0;
  // Empty, or spaces that are not part of it.
  if (static_cast<unsigned char>(*value) <= ' ') return nullptr;
  const char* value_end = FindTextEnd<kWhole>(value, end);
  if (value_end == nullptr || (!kWhole && end - value_end < 2)) return nullptr;
  if (!IsAt<uint16_t>(value_end, "\r\n") || value_end[-1] == ' ') return nullptr;
  field.name = {at, static_cast<size_t>(colon - at)};
  field.value = {value, static_cast<size_t>(value_end - value)};
  field.line = spaced ? static_cast<uint32_t>(value_end + 2 - at) : 0;
  return ReadName(block, field.name, field.id) ? value_end + 2 : nullptr;
}

// What a field of kFramingIds says. False: not plain. `before`: the fields before it.
bool ReadFramingField(const HeaderField& field, HeaderIds before, Framing& framing) {
  if (field.id == HeaderId::kConnection) {
    ReadConnection(field.value, framing);
    return true;
  }
  if ((before & IdBit(field.id)) != 0) return false;
  switch (field.id) {
    case HeaderId::kHost:
      return true;
    case HeaderId::kContentLength:
      framing.has_length = ParseLength(field.value, framing.length);
      return framing.has_length && !framing.chunked;
    case HeaderId::kTransferEncoding:
      framing.chunked = field.value == "chunked";
      return framing.chunked && !framing.has_length;
    default:
      return false;
  }
}

// Parses the field lines from `at` on. Returns what follows the empty line, or nullptr
// where they are not plain or not complete.
const char* ReadFields(const char* at, const char* end, uint32_t max_count, HeaderList& list,
                       Framing& framing) {
  const char* const stop = WholeStop(end);
  HeaderField* field = list.Space();
  HeaderField* full = field + list.room();
  HeaderField* first = field;
  HeaderIds ids = 0;
  while (end - at >= 2) {
    if (IsAt<uint16_t>(at, "\r\n")) {
      list.Filled(static_cast<size_t>(field - first), ids);
      return list.size() <= max_count ? at + 2 : nullptr;
    }
    if (field == full) [[unlikely]] {
      list.Filled(static_cast<size_t>(field - first), ids);
      if (list.size() > max_count) return nullptr;
      field = first = list.Space();
      full = field + list.room();
    }
    ::new (field) HeaderField;
    const char* next = at < stop ? ReadField<true>(at, end, *field) : nullptr;
    if (next == nullptr) next = ReadField<false>(at, end, *field);
    if (next == nullptr) return nullptr;
    if ((IdBit(field->id) & kFramingIds) != 0 && !ReadFramingField(*field, ids, framing))
      return nullptr;
    ids |= IdBit(field->id);
    ++field;
    at = next;
  }
  return nullptr;
}

// Behind a host: nothing, or ":" and a port of up to four digits.
inline bool IsPortOrNothing(std::string_view rest) {
  if (rest.empty()) return true;
  if (rest[0] != ':' || rest.size() > 5) return false;
  for (const char c : rest.substr(1)) {
    if (!IsDigit(c)) return false;
  }
  return true;
}

struct PlainTarget {
  std::string_view all;
  size_t path_size = 0;
  // Whether the path is known to be canonical.
  bool canonical = false;
};

// Reads an origin-form target and the space after it; `all` stays empty where it is not
// one, or not complete.
inline PlainTarget ReadTarget(const char* begin, const char* end) {
  PlainTarget target;
  if (begin >= end || *begin != '/') return target;
  bool canonical = true;
  const char* at = begin;
  while (true) {
    if (at >= end) return target;
    const Block<false> block(at, end);
    const unsigned other = ~block.PathCharacters() & 0xFFFF;
    const size_t here = other == 0 ? kBlockBytes : FirstBit(other);
    // A dot that begins a segment may be one that must be resolved.
    for (unsigned dots = block.Equal('.') & ((1u << here) - 1); dots != 0; dots &= dots - 1) {
      if ((at + FirstBit(dots))[-1] == '/') canonical = false;
    }
    at += here;
    if (here < kBlockBytes) break;
  }
  if (at >= end) return target;
  target.path_size = static_cast<size_t>(at - begin);
  target.canonical = canonical && (*at == ' ' || *at == '?');
  if (*at != ' ') {
    while (true) {
      if (at >= end) return target;
      const unsigned bits = Block<false>(at, end).NotQuery();
      if (bits != 0) {
        at += FirstBit(bits);
        break;
      }
      at += kBlockBytes;
    }
    if (*at != ' ') return target;
  }
  target.all = {begin, static_cast<size_t>(at - begin)};
  return target;
}

// The authority in a Host field of the input that ends at `end`. Ours is the usual one:
// a name in lower case, maybe with a port. False: it is not valid.
inline bool ReadAuthority(std::string_view raw, const char* end, RequestHead& head) {
  const char* at = raw.data();
  // The CR after the value ends the search.
  unsigned other = 0;
  while ((other = ~Block<false>(at, end).HostCharacters() & 0xFFFF) == 0) at += kBlockBytes;
  const size_t host_size = static_cast<size_t>(at - raw.data()) + FirstBit(other);
  if (host_size != 0 && raw[host_size - 1] != '.' && IsPortOrNothing(raw.substr(host_size))) {
    head.authority = raw;
    head.host = raw.substr(0, host_size);
    return true;
  }
  return ParseAuthority(raw, head.headers.arena(), head.authority, head.host).empty();
}

size_t NotPlain(RequestHead& head) {
  head.headers.Clear();
  head.target = head.path = head.query = head.authority = head.host = {};
  head.has_query = false;
  return 0;
}

}  // namespace

size_t ParsePlainRequest(std::string_view input, const H1Limits& limits, RequestHead& head, bool& keep_alive) {
  input = input.substr(0, limits.max_header_bytes);
  if (input.size() < kBlockBytes || head.headers.size() != 0) return 0;
  const char* const begin = input.data();
  const char* const end = begin + input.size();
  const unsigned space = Block<true>(begin, end).Equal(' ');
  if (space == 0) return 0;
  const std::string_view method_text = input.substr(0, FirstBit(space));
  const Method method = LookUpMethod(method_text);
  if (method == Method::kOther || method == Method::kConnect) return 0;
  const PlainTarget target = ReadTarget(method_text.data() + method_text.size() + 1, end);
  if (target.all.empty()) return 0;
  const char* at = target.all.data() + target.all.size();
  if (end - at < 11 || !IsAt<uint64_t>(at + 1, "HTTP/1.1") || !IsAt<uint16_t>(at + 9, "\r\n")) return 0;
  Framing framing;
  at = ReadFields(at + 11, end, limits.max_header_count, head.headers, framing);
  const HeaderField* host = at == nullptr ? nullptr : head.headers.Find(HeaderId::kHost);
  if (host == nullptr || !ReadAuthority(host->value, end, head)) return NotPlain(head);
  head.method = method;
  if (target.canonical) {
    head.target = target.all;
    head.path = target.all.substr(0, target.path_size);
    head.has_query = target.path_size < target.all.size();
    head.query = head.has_query ? target.all.substr(target.path_size + 1) : std::string_view();
  } else if (!ParseTarget(target.all, head).empty()) {
    head.method = Method::kOther;
    return NotPlain(head);
  }
  head.method_text = method_text;
  head.version = Version::kHttp11;
  head.line = {begin, method_text.size() + target.all.size() + 12};
  if (framing.chunked) {
    head.body = BodyKind::kChunked;
  } else if (framing.has_length) {
    head.body = BodyKind::kLength;
    head.content_length = framing.length;
  }
  if (head.headers.Among(IdBit(HeaderId::kUpgrade)) != 0) [[unlikely]] {
    head.upgrade = UpgradeOf(head, framing);
  }
  keep_alive = !framing.close;
  return static_cast<size_t>(at - begin);
}

size_t ParsePlainResponse(std::string_view input, const H1Limits& limits, Method request_method, ResponseHead& head,
                          bool& keep_alive) {
  input = input.substr(0, limits.max_header_bytes);
  if (input.size() < kBlockBytes || head.headers.size() != 0) return 0;
  const char* const begin = input.data();
  const char* const end = begin + input.size();
  if (!IsAt<uint64_t>(begin, "HTTP/1.1") || begin[8] != ' ' || begin[12] != ' ') return 0;
  if (begin[9] < '1' || begin[9] > '5' || !IsDigit(begin[10]) || !IsDigit(begin[11])) return 0;
  const int status = (begin[9] - '0') * 100 + (begin[10] - '0') * 10 + (begin[11] - '0');
  const char* at = FindTextEnd<false>(begin + 13, end);
  if (status == 101 || at == nullptr || end - at < 2 || !IsAt<uint16_t>(at, "\r\n")) return 0;
  const std::string_view reason(begin + 13, static_cast<size_t>(at - begin - 13));
  Framing framing;
  at = ReadFields(at + 2, end, limits.max_header_count, head.headers, framing);
  if (at == nullptr) {
    head.headers.Clear();
    return 0;
  }
  head.status = status;
  head.reason = reason;
  head.line = {begin, reason.size() + 15};
  head.version = Version::kHttp11;
  keep_alive = SetResponseBody(framing, request_method, head);
  return static_cast<size_t>(at - begin);
}

}  // namespace portico::http::internal
