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

uint32_t Number(const uint8_t* bytes, size_t size) {
  uint32_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | bytes[i];
  return value;
}

constexpr uint32_t kWithoutFirstBit = 0x7FFFFFFF;

}  // namespace

bool BreaksFraming(const H2FrameHead& head) {
  if (head.type == kPriority)
    return head.stream == 0 || (head.length == 5 && head.value == head.stream);
  return head.type == kWindowUpdate && head.length == 4 && head.value == 0;
}

size_t H2FrameWalker::Wanted() const {
  if (have_ < kHeadBytes) return kHeadBytes;
  const uint8_t type = head_[3];
  const uint32_t length = Number(head_, 3);
  const bool has_value =
      (type == kPriority && length == 5) || (type == kWindowUpdate && length == kValueBytes);
  return has_value ? kHeadBytes + kValueBytes : kHeadBytes;
}

H2FrameHead H2FrameWalker::Complete() {
  H2FrameHead head{Number(head_, 3), head_[3], head_[4], Number(head_ + 5, 4) & kWithoutFirstBit,
                   0};
  if (have_ > kHeadBytes) head.value = Number(head_ + kHeadBytes, kValueBytes) & kWithoutFirstBit;
  skip_ = head.length - static_cast<uint32_t>(have_ - kHeadBytes);
  have_ = 0;
  return head;
}

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
