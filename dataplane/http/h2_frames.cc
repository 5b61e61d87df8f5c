#include "dataplane/http/h2_frames.h"

namespace portico::http {
namespace {

// RFC 9113 section 6; RFC 9218 section 7.1.
enum Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
  kPriorityUpdate = 16,
};
constexpr uint8_t kEndStream = 1;
constexpr uint8_t kEndHeaders = 4;

}  // namespace

std::optional<H2FloodGuard::Kind> FloodKindOf(const H2FrameHead& head) {
  using Kind = H2FloodGuard::Kind;
  switch (head.type) {
    case kData:
      if (head.length == 0 && (head.flags & kEndStream) == 0) return Kind::kEmptyFrame;
      return std::nullopt;
    case kContinuation:
      if (head.length == 0) return Kind::kEmptyFrame;
      return std::nullopt;
    case kHeaders:
    case kPushPromise:
    case kGoaway:
      return std::nullopt;
    case kPriority:
    case kPriorityUpdate:
      return Kind::kPriority;
    case kRstStream:
      return Kind::kReset;
    case kSettings:
      return Kind::kSettings;
    case kPing:
      return Kind::kPing;
    case kWindowUpdate:
      return Kind::kWindowUpdate;
    default:
      return Kind::kUnknownFrame;
  }
}

void H2FrameWalker::NoteBlock(const H2FrameHead& head) {
  const bool of_block = head.type == kHeaders || head.type == kContinuation;
  const bool ends = (head.flags & kEndHeaders) != 0;
  blocks_ += head.type == kHeaders;
  if (of_block) in_block_ = !ends;
  last_ends_block_ = of_block && ends;
}

}  // namespace portico::http
