// HTTP/1.1 requests. Whatever bytes come, and however they are split: the same
// messages or the same error come out; nothing points outside of the input; and a
// request that is written again means the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/arena.h"
#include "dataplane/base/check.h"
#include "dataplane/http/h1_body.h"
#include "dataplane/http/h1_input.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/http/h1_writer.h"
#include "dataplane/http/path.h"

namespace portico::http {
namespace {

using State = H1ParseResult::State;

// What goes to an upstream.
std::string Meaning(const RequestHead& head) {
  std::string out(head.method_text);
  out.append(" ").append(head.path).append("?").append(head.has_query ? "1" : "0").append(head.query);
  out.append(" ").append(head.authority).append(" ").append(head.host);
  out += " " + std::to_string(static_cast<int>(head.body)) + " " + std::to_string(head.content_length);
  for (const HeaderField& field : head.headers) {
    if (field.name.empty() || field.id == HeaderId::kHost || field.id == HeaderId::kContentLength ||
        field.id == HeaderId::kExpect) {
      continue;
    }
    out.append("\n").append(field.name).append(":").append(field.value);
  }
  return out;
}

void CheckWriting(const RequestHead& head) {
  base::BufferPool pool;
  const absl::StatusOr<base::Buffer> written = WriteRequestHead(head, pool);
  PORTICO_CHECK(written.ok());
  // Requests of HTTP/1.0 may have no Host; ours are HTTP/1.1.
  if (head.authority.empty()) return;
  base::Arena arena;
  RequestHead again(arena);
  H1RequestParser parser;
  // Written fields may be longer than they came, by ": " and the canonical path.
  const H1Limits limits{1 << 20, 1000};
  const H1ParseResult result = parser.ParseHead(written->view(), limits, again);
  PORTICO_CHECK(result.state == State::kDone && result.consumed == written->size());
  RemoveHopByHopFields(again.headers);
  // A chunked body stays chunked, a missing one may become "Content-Length: 0".
  if (head.body == BodyKind::kNone && again.body == BodyKind::kLength && again.content_length == 0) {
    again.body = BodyKind::kNone;
  }
  PORTICO_CHECK(Meaning(again) == Meaning(head));
  again.body = head.body;
  const absl::StatusOr<base::Buffer> stable = WriteRequestHead(again, pool);
  PORTICO_CHECK(stable.ok() && stable->view() == written->view());
}

// Reads messages as a connection does and returns all that came out. The bytes that
// are not read yet arrive in pieces of `steps` bytes, over and over.
std::string Read(std::string_view input, const std::vector<size_t>& steps) {
  std::string out;
  std::string unread;
  size_t step = 0;
  const auto more = [&] {
    if (input.empty()) return false;
    const size_t size = std::min(input.size(), steps[step++ % steps.size()]);
    // Moves what was there, so that no slice into it stays good by chance.
    std::string moved;
    moved.reserve(unread.size() + size);
    moved.append(unread).append(input.substr(0, size));
    unread.swap(moved);
    input.remove_prefix(size);
    return true;
  };
  for (int messages = 0; messages < 100; ++messages) {
    base::Arena arena;
    RequestHead head(arena);
    H1RequestParser parser;
    H1ParseResult result;
    const H1Limits limits{2048, 20};
    while ((result = parser.ParseHead(unread, limits, head)).state == State::kNeedMore) {
      if (!more()) return out + "|incomplete head";
    }
    if (result.state == State::kError) {
      return out + "|" + std::to_string(result.status) + " " + std::string(result.reason);
    }
    PORTICO_CHECK(result.consumed <= unread.size());
    if (head.path != "*") PORTICO_CHECK(IsCanonicalPath(head.path));
    RemoveHopByHopFields(head.headers);
    CheckWriting(head);
    out += "|" + Meaning(head) + (parser.keep_alive() ? "|keep" : "|close");
    unread.erase(0, result.consumed);
    BodyDecoder decoder(head.body, head.content_length);
    out += "|";
    while (!decoder.done()) {
      if (unread.empty() && !more()) return out + "|incomplete body";
      const BodyDecoder::Result piece = decoder.Decode(unread);
      if (!piece.error.empty()) return out + "|" + std::string(piece.error);
      PORTICO_CHECK(piece.consumed > 0);
      out += piece.payload;
      unread.erase(0, piece.consumed);
    }
  }
  return out;
}

}  // namespace
}  // namespace portico::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 16 * 1024) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string whole = portico::http::Read(input, {size + 1});
  if (size <= 1024) PORTICO_CHECK(portico::http::Read(input, {1}) == whole);
  // Splits that differ from input to input.
  uint32_t seed = static_cast<uint32_t>(size);
  for (const char c : input) seed = seed * 31 + static_cast<unsigned char>(c);
  std::vector<size_t> steps;
  for (int i = 0; i < 7; ++i, seed = seed * 1664525 + 1013904223) steps.push_back((seed >> 16) % 97 + 1);
  PORTICO_CHECK(portico::http::Read(input, steps) == whole);
  return 0;
}
