// HTTP/1.1 responses from an upstream. The first byte chooses the request that they
// answer. Whatever bytes come, and however they are split, the same messages or the
// same error come out, through the path that connections use; and a response that is
// written again means the same, its trailers too.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/arena.h"
#include "dataplane/base/buffer.h"
#include "dataplane/base/check.h"
#include "dataplane/http/h1_input.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/http/h1_writer.h"
#include "dataplane/http/trailers.h"

namespace portico::http {
namespace {

using State = H1ParseResult::State;

std::string Meaning(const ResponseHead& head) {
  std::string out = std::to_string(head.status) + " " + std::to_string(static_cast<int>(head.body)) + " " +
                    std::to_string(head.content_length);
  for (const HeaderField& field : head.headers) {
    if (field.name.empty() || field.id == HeaderId::kContentLength || field.id == HeaderId::kExpect) continue;
    out.append("\n").append(field.name).append(":").append(field.value);
  }
  return out;
}

void CheckWriting(const ResponseHead& head, Method method, base::BufferPool& pool) {
  const ResponseWriteOptions options{Version::kHttp11, method, true, {}};
  const absl::StatusOr<base::Buffer> written = WriteResponseHead(head, options, pool);
  PORTICO_CHECK(written.ok());
  base::Arena arena;
  ResponseHead again(arena);
  H1ResponseParser parser;
  const H1ParseResult result = parser.ParseHead(written->view(), {1 << 20, 1000}, method, again);
  PORTICO_CHECK(result.state == State::kDone && result.consumed == written->size());
  RemoveHopByHopFields(again.headers);
  // What ended with the connection is chunked now.
  ResponseHead expected = head;
  if (expected.body == BodyKind::kUntilClose) expected.body = BodyKind::kChunked;
  PORTICO_CHECK(Meaning(again) == Meaning(expected));
  const absl::StatusOr<base::Buffer> stable = WriteResponseHead(again, options, pool);
  PORTICO_CHECK(stable.ok());
  if (!head.reason.empty()) PORTICO_CHECK(stable->view() == written->view());
}

std::string TrailersOf(const HeaderList* trailers) {
  std::string out;
  if (trailers == nullptr) return out;
  for (const HeaderField& field : *trailers) {
    PORTICO_CHECK(IsSafeTrailer(field));
    out.append("\n").append(field.name).append(":").append(field.value);
  }
  return out;
}

// What is written to a client is read by it as it was.
void CheckWritingTrailers(const HeaderList* trailers) {
  if (trailers == nullptr) return;
  base::Arena arena;
  const std::string_view written = WriteLastChunk(*trailers, arena);
  BodyDecoder decoder(BodyKind::kChunked, 0);
  TrailerSection section(arena);
  const BodyDecoder::Result result = decoder.Decode(written, &section);
  // "name:" becomes "name: ", which may be too long then.
  if (result.error == "trailers_too_large") return;
  PORTICO_CHECK(result.done && result.consumed == written.size() && result.payload.empty());
  PORTICO_CHECK(TrailersOf(section.Fields(decoder.trailer_bytes())) == TrailersOf(trailers));
}

// Feeds `input` in pieces of `steps` bytes through an H1Input.
class Reader {
 public:
  Reader(std::string_view input, const std::vector<size_t>& steps, base::BufferPool& pool)
      : rest_(input), steps_(steps), pool_(pool) {}

  std::string Read(Method method) {
    for (int messages = 0; messages < 100; ++messages) {
      base::Arena arena;
      ResponseHead head(arena);
      H1ResponseParser parser;
      H1ParseResult result;
      const H1Limits limits{2048, 20};
      while ((result = parser.ParseHead(input_.unread(), limits, method, head)).state == State::kNeedMore) {
        if (!More(input_.TakeForMore(pool_, limits.max_header_bytes))) return out_ + "|incomplete head";
      }
      if (result.state == State::kError) return out_ + "|" + std::string(result.reason);
      const base::Buffer head_bytes = input_.Share();
      input_.Consume(result.consumed);
      RemoveHopByHopFields(head.headers);
      CheckWriting(head, method, pool_);
      out_ += "|" + Meaning(head) + (parser.keep_alive() ? "|keep" : "|close") + "|";
      if (!ReadBody(head)) return out_;
      if (!parser.keep_alive()) return out_;
    }
    return out_;
  }

 private:
  bool ReadBody(const ResponseHead& head) {
    BodyDecoder decoder(head.body, head.content_length);
    base::Arena arena;
    TrailerSection trailers(arena);
    while (true) {
      const H1Input::Piece piece = input_.NextPiece(decoder, pool_, &trailers);
      out_ += piece.chunk.bytes;
      if (!piece.error.empty()) {
        out_ += "|" + std::string(piece.error);
        return false;
      }
      if (piece.chunk.end) {
        CheckWritingTrailers(piece.chunk.trailers);
        out_ += TrailersOf(piece.chunk.trailers);
        return true;
      }
      PORTICO_CHECK(piece.need_more || !piece.chunk.bytes.empty());
      if (piece.need_more && !More(base::Buffer())) {
        out_ += decoder.Finish() ? "|closed" : "|truncated";
        return false;
      }
    }
  }

  bool More(base::Buffer begun) {
    if (rest_.empty()) return false;
    if (!begun) begun = pool_.Allocate();
    const size_t room = begun.capacity() - begun.size();
    const size_t size = std::min({rest_.size(), steps_[step_++ % steps_.size()], room});
    PORTICO_CHECK(size > 0);
    std::memcpy(begun.data() + begun.size(), rest_.data(), size);
    begun.set_size(begun.size() + size);
    rest_.remove_prefix(size);
    input_.Fill(std::move(begun));
    return true;
  }

  std::string_view rest_;
  const std::vector<size_t>& steps_;
  base::BufferPool& pool_;
  size_t step_ = 0;
  H1Input input_;
  std::string out_;
};

std::string Read(std::string_view input, const std::vector<size_t>& steps, Method method) {
  base::BufferPool pool;
  std::string out = Reader(input, steps, pool).Read(method);
  PORTICO_CHECK(pool.live() == 0);
  return out;
}

}  // namespace
}  // namespace portico::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 16 * 1024) return 0;
  const auto method = data[0] == 'H' ? portico::http::Method::kHead : portico::http::Method::kGet;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = portico::http::Read(input, {size}, method);
  if (size <= 1024) PORTICO_CHECK(portico::http::Read(input, {1}, method) == whole);
  uint32_t seed = static_cast<uint32_t>(size);
  for (const char c : input) seed = seed * 31 + static_cast<unsigned char>(c);
  std::vector<size_t> steps;
  for (int i = 0; i < 7; ++i, seed = seed * 1664525 + 1013904223) steps.push_back((seed >> 16) % 97 + 1);
  PORTICO_CHECK(portico::http::Read(input, steps, method) == whole);
  return 0;
}
