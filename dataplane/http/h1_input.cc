#include "dataplane/http/h1_input.h"

#include <algorithm>
#include <cstring>

namespace portico::http {
namespace {

// Pieces below are copied together when more follow.
constexpr size_t kSmallPiece = 1024;

}  // namespace

base::Buffer H1Input::TakeForMore(base::BufferPool& pool, size_t limit) {
  const std::string_view rest = unread();
  base::Buffer out;
  if (rest.empty()) {
    // The receive takes a buffer when bytes are there.
    Clear();
    return out;
  }
  const bool full = rest.size() == buffer_.capacity();
  if (!full && !buffer_.shared() && position_ == 0) {
    out = std::move(buffer_);
  } else if (!full && !buffer_.shared()) {
    std::memmove(buffer_.data(), rest.data(), rest.size());
    buffer_.set_size(rest.size());
    out = std::move(buffer_);
  } else {
    const size_t wanted = full ? std::min(std::max(rest.size() * 2, base::BufferPool::kLarge), limit) : rest.size() + 1;
    out = pool.Allocate(std::max(wanted, rest.size() + 1));
    std::memcpy(out.data(), rest.data(), rest.size());
    out.set_size(rest.size());
  }
  Clear();
  return out;
}

H1Input::Piece H1Input::TakePiece(BodyDecoder& decoder, base::BufferPool& pool,
                                  TrailerSection* trailers) {
  Piece piece;
  if (decoder.done()) {
    piece.chunk.end = true;
    return piece;
  }
  const BodyDecoder::Result result = decoder.Decode(unread(), trailers);
  if (!result.error.empty()) {
    piece.error = result.error;
    return piece;
  }
  piece.chunk.end = result.done;
  if (result.payload.empty()) {
    Consume(result.consumed);
    piece.need_more = !result.done;
    return piece;
  }
  if (decoder.kind() == BodyKind::kChunked) {
    // Only framing may follow: then the end is here, or there is no more now.
    BodyDecoder ahead = decoder;
    const BodyDecoder::Result next = ahead.Decode(unread().substr(result.consumed), trailers);
    if (next.error.empty() && !next.payload.empty() && result.payload.size() < kSmallPiece) {
      position_ += result.consumed;
      Gather(decoder, pool, trailers, result.payload, piece);
      return piece;
    }
    if (next.error.empty() && next.payload.empty()) {
      decoder = ahead;
      piece.chunk.end = next.done;
      piece.chunk.bytes = result.payload;
      piece.chunk.owner = Share();
      Consume(result.consumed + next.consumed);
      return piece;
    }
  }
  piece.chunk.bytes = result.payload;
  piece.chunk.owner = Share();
  Consume(result.consumed);
  return piece;
}

void H1Input::Gather(BodyDecoder& decoder, base::BufferPool& pool, TrailerSection* trailers,
                     std::string_view first, Piece& piece) {
  base::Buffer out = pool.Allocate();
  size_t size = first.size();
  std::memcpy(out.data(), first.data(), size);
  while (position_ < buffer_.size()) {
    BodyDecoder ahead = decoder;
    const BodyDecoder::Result next = ahead.Decode(unread(), trailers);
    // An error comes out with the next piece, when what was good is delivered.
    if (!next.error.empty() || next.payload.size() > out.capacity() - size) break;
    if (!next.payload.empty()) std::memcpy(out.data() + size, next.payload.data(), next.payload.size());
    size += next.payload.size();
    decoder = ahead;
    position_ += next.consumed;
    piece.chunk.end = next.done;
    if (next.done) break;
  }
  if (empty()) Clear();
  out.set_size(size);
  piece.chunk.bytes = {out.data(), size};
  piece.chunk.owner = std::move(out);
}

bool H1Input::HasPiece(const BodyDecoder& decoder) const {
  if (decoder.done()) return true;
  BodyDecoder ahead = decoder;
  const BodyDecoder::Result next = ahead.Decode(unread());
  return next.done || !next.payload.empty() || !next.error.empty();
}

}  // namespace portico::http
