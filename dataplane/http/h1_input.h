// The received but unread bytes of an HTTP/1.1 connection, for both roles. No I/O.
#ifndef DATAPLANE_HTTP_H1_INPUT_H_
#define DATAPLANE_HTTP_H1_INPUT_H_

#include <cstddef>
#include <string_view>
#include <utility>

#include "dataplane/base/buffer.h"
#include "dataplane/http/h1_body.h"
#include "dataplane/http/message.h"

namespace portico::http {

// One buffer and how much of it is read. Holds no buffer while nothing is unread, so
// that a resting connection costs none.
class H1Input {
 public:
  bool empty() const { return position_ == buffer_.size(); }
  std::string_view unread() const { return buffer_.view().substr(position_); }
  // A second reference to the bytes, for who keeps slices of them.
  base::Buffer Share() const { return buffer_.Share(); }

  // Bytes are read. The buffer goes with the last one, unless somebody shares it.
  void Consume(size_t bytes) {
    position_ += bytes;
    if (empty()) Clear();
  }
  void Clear() {
    buffer_.Reset();
    position_ = 0;
  }
  // What was received; nothing may be unread.
  void Fill(base::Buffer buffer) {
    buffer_ = std::move(buffer);
    position_ = 0;
  }

  // Takes the unread bytes out, as the beginning of a buffer with room for more that
  // nobody else looks at: bytes received are appended to it, and it comes back with
  // Fill(). Moves or copies only if it must. `limit`: no more bytes than that will be
  // wanted together.
  base::Buffer TakeForMore(base::BufferPool& pool, size_t limit);

  // The next piece of a body.
  struct Piece {
    BodyChunk chunk;
    // All bytes are used up, and there is nothing to give yet.
    bool need_more = false;
    std::string_view error;  // See BodyDecoder.
  };
  // Gives a slice of the buffer with as much as lies there in one piece, or a copy
  // of several pieces where they are small: a peer that sends one byte in each chunk
  // must not cost a system call for each. `end` is set as soon as it is known, and with it
  // the trailers that are safe, if `trailers` is where they are kept.
  Piece NextPiece(BodyDecoder& decoder, base::BufferPool& pool,
                  TrailerSection* trailers = nullptr) {
    Piece piece = TakePiece(decoder, pool, trailers);
    if (trailers != nullptr && piece.chunk.end) [[unlikely]] {
      piece.chunk.trailers = trailers->Fields(decoder.trailer_bytes());
    }
    return piece;
  }
  // Whether NextPiece() would not need more.
  bool HasPiece(const BodyDecoder& decoder) const;

 private:
  Piece TakePiece(BodyDecoder& decoder, base::BufferPool& pool, TrailerSection* trailers);
  void Gather(BodyDecoder& decoder, base::BufferPool& pool, TrailerSection* trailers,
              std::string_view first, Piece& piece);

  base::Buffer buffer_;
  size_t position_ = 0;
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H1_INPUT_H_
