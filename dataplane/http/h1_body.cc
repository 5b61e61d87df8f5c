#include "dataplane/http/h1_body.h"

#include <algorithm>

#include "dataplane/base/check.h"
#include "dataplane/http/characters.h"

namespace portico::http {
namespace {

constexpr uint8_t kMaxSizeDigits = 15;
constexpr uint16_t kMaxExtensionBytes = 1024;
constexpr uint16_t kMaxTrailerBytes = TrailerSection::kMaxBytes;

}  // namespace

BodyDecoder::BodyDecoder(BodyKind kind, uint64_t content_length) : kind_(kind) {
  switch (kind) {
    case BodyKind::kNone:
      break;
    case BodyKind::kLength:
      remaining_ = content_length;
      if (content_length > 0) state_ = State::kContent;
      break;
    case BodyKind::kChunked:
      state_ = State::kSizeFirst;
      break;
    case BodyKind::kUntilClose:
      state_ = State::kContent;
      break;
  }
}

std::string_view BodyDecoder::Step(unsigned char byte, TrailerSection* trailers) {
  const char c = static_cast<char>(byte);
  switch (state_) {
    case State::kSizeFirst:
    case State::kSize:
      if (Is(c, kHexDigit)) {
        if (++digits_ > kMaxSizeDigits) return "invalid_chunk_size";
        remaining_ = remaining_ << 4 | HexValue(c);
        state_ = State::kSize;
        return {};
      }
      if (state_ == State::kSizeFirst) return "invalid_chunk_size";
      if (c == '\r') {
        state_ = State::kSizeLf;
        return {};
      }
      if (c != ';') return "invalid_chunk_size";
      state_ = State::kExtension;
      extension_bytes_ = 1;
      return {};
    case State::kExtension:
      if (c == '\r') {
        state_ = State::kSizeLf;
        return {};
      }
      if (!Is(c, kValueCharacter) || ++extension_bytes_ > kMaxExtensionBytes) return "invalid_chunk_extension";
      return {};
    case State::kSizeLf:
      if (c != '\n') return "invalid_chunk_ending";
      digits_ = 0;
      state_ = remaining_ > 0 ? State::kChunk : State::kTrailerStart;
      return {};
    case State::kChunkCr:
      if (c != '\r') return "invalid_chunk_ending";
      state_ = State::kChunkLf;
      return {};
    case State::kChunkLf:
      if (c != '\n') return "invalid_chunk_ending";
      state_ = State::kSizeFirst;
      return {};
    case State::kTrailerStart:
      if (c == '\r') {
        state_ = State::kEndLf;
        return {};
      }
      [[fallthrough]];
    case State::kTrailerName:
      if (++trailer_bytes_ > kMaxTrailerBytes) return "trailers_too_large";
      if (trailers != nullptr) trailers->Put(trailer_bytes_ - 1, c);
      if (c == ':' && state_ == State::kTrailerName) {
        state_ = State::kTrailerValue;
        return {};
      }
      if (!Is(c, kTokenCharacter)) return "invalid_trailer";
      state_ = State::kTrailerName;
      return {};
    case State::kTrailerValue:
      if (++trailer_bytes_ > kMaxTrailerBytes) return "trailers_too_large";
      if (trailers != nullptr) trailers->Put(trailer_bytes_ - 1, c == '\r' ? '\n' : c);
      if (c == '\r') {
        state_ = State::kTrailerLf;
        return {};
      }
      return Is(c, kValueCharacter) ? std::string_view() : "invalid_trailer";
    case State::kTrailerLf:
      if (c != '\n') return "invalid_trailer";
      state_ = State::kTrailerStart;
      return {};
    case State::kEndLf:
      if (c != '\n') return "invalid_trailer";
      state_ = State::kDone;
      return {};
    case State::kDone:
    case State::kContent:
    case State::kChunk:
    case State::kFailed:
      break;
  }
  return "invalid_chunk_ending";
}

BodyDecoder::Result BodyDecoder::Decode(std::string_view input, TrailerSection* trailers) {
  Result result;
  while (result.consumed < input.size() && state_ != State::kDone) {
    if (state_ == State::kContent && kind_ == BodyKind::kUntilClose) {
      result.payload = input;
      result.consumed = input.size();
      break;
    }
    if (state_ == State::kContent || state_ == State::kChunk) {
      const size_t take = static_cast<size_t>(std::min<uint64_t>(remaining_, input.size() - result.consumed));
      result.payload = input.substr(result.consumed, take);
      result.consumed += take;
      remaining_ -= take;
      if (remaining_ == 0) state_ = state_ == State::kChunk ? State::kChunkCr : State::kDone;
      break;
    }
    if (state_ == State::kFailed) {
      result.error = "invalid_chunk_ending";
      return result;
    }
    result.error = Step(static_cast<unsigned char>(input[result.consumed]), trailers);
    if (!result.error.empty()) {
      state_ = State::kFailed;
      return result;
    }
    ++result.consumed;
  }
  result.done = state_ == State::kDone;
  return result;
}

bool BodyDecoder::Skip(uint64_t bytes) {
  PORTICO_CHECK(state_ == State::kContent);
  if (kind_ == BodyKind::kUntilClose) return false;
  PORTICO_CHECK(bytes <= remaining_);
  remaining_ -= bytes;
  if (remaining_ == 0) state_ = State::kDone;
  return remaining_ == 0;
}

bool BodyDecoder::Finish() {
  if (kind_ == BodyKind::kUntilClose && state_ == State::kContent) state_ = State::kDone;
  return state_ == State::kDone;
}

}  // namespace portico::http
