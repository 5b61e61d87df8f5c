// HTTP/1.1 message bodies: finding their end without copying them. No I/O.
#ifndef DATAPLANE_HTTP_H1_BODY_H_
#define DATAPLANE_HTTP_H1_BODY_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/http/message.h"
#include "dataplane/http/trailers.h"

namespace portico::http {

// Takes a body out of the bytes of a connection, whatever way they are split.
// Chunked bodies are decoded strictly (RFC 9112 section 7.1): sizes of at most 15
// hexadecimal digits, CRLF everywhere, extensions of at most 1 KiB a chunk and
// trailer fields of at most 8 KiB together. Extensions are dropped, and so are trailer
// fields unless somebody keeps them. Copying one is how to look ahead.
class BodyDecoder {
 public:
  BodyDecoder() = default;  // No body: done.
  BodyDecoder(BodyKind kind, uint64_t content_length);

  struct Result {
    // How much of the input belongs to the body and is dealt with.
    size_t consumed = 0;
    // The next piece of content, a slice of the input; may be empty.
    std::string_view payload;
    // The body is complete.
    bool done = false;
    // Not empty: a literal in snake_case ("invalid_chunk_size",
    // "invalid_chunk_extension", "invalid_chunk_ending", "invalid_trailer",
    // "trailers_too_large"); the connection must be closed.
    std::string_view error;
  };
  // Decodes up to the end of the first piece of content. Unless `done`, call again
  // with the rest of the input, and with more bytes when all are consumed. `trailers`: where
  // trailer fields are put, always the same; nullptr: they are dropped.
  Result Decode(std::string_view input, TrailerSection* trailers = nullptr);

  // Bytes of content, at most remaining() if that is known, went by unseen: only with
  // kLength and kUntilClose. True if they complete the body.
  bool Skip(uint64_t bytes);

  // The connection ended. True if that is the body's end (kUntilClose).
  bool Finish();

  bool done() const { return state_ == State::kDone; }
  BodyKind kind() const { return kind_; }
  // How many bytes of the TrailerSection are written.
  uint16_t trailer_bytes() const { return trailer_bytes_; }
  // Bytes to come where that is known (kLength), otherwise 0.
  uint64_t remaining() const { return kind_ == BodyKind::kLength ? remaining_ : 0; }

 private:
  enum class State : uint8_t {
    kDone, kContent, kSizeFirst, kSize, kExtension, kSizeLf, kChunk, kChunkCr, kChunkLf,
    kTrailerStart, kTrailerName, kTrailerValue, kTrailerLf, kEndLf, kFailed
  };
  // One byte of chunked framing; returns an error or nothing.
  std::string_view Step(unsigned char byte, TrailerSection* trailers);

  BodyKind kind_ = BodyKind::kNone;
  State state_ = State::kDone;
  uint8_t digits_ = 0;
  uint16_t extension_bytes_ = 0;
  uint16_t trailer_bytes_ = 0;
  uint64_t remaining_ = 0;
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H1_BODY_H_
