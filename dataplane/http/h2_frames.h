// The heads of HTTP/2 frames (RFC 9113 section 4.1), seen as their bytes pass.
#ifndef DATAPLANE_HTTP_H2_FRAMES_H_
#define DATAPLANE_HTTP_H2_FRAMES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "dataplane/http/h2_flood.h"

namespace portico::http {

struct H2FrameHead {
  uint32_t length = 0;
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  // Of PRIORITY the stream that it depends on, of WINDOW_UPDATE the increment.
  uint32_t value = 0;
};

// What is wrong with a frame on its own that nghttp2 lets pass: PRIORITY on no stream (RFC 9113
// section 6.3) or on itself (RFC 7540 section 5.3.1), an increment of 0 (section 6.9).
bool BreaksFraming(const H2FrameHead& head);

// What kind of cost a frame is; nothing for HEADERS, GOAWAY, and DATA with content.
std::optional<H2FloodGuard::Kind> FloodKindOf(const H2FrameHead& head);

// Finds the frames in a stream of bytes. nghttp2 tells of none that it ignores.
class H2FrameWalker {
 public:
  // The connection preface of clients comes first: "PRI * ...", 24 bytes.
  static constexpr uint32_t kPrefaceBytes = 24;
  explicit H2FrameWalker(uint32_t skip_bytes) : skip_(skip_bytes) {}

  // Calls see(const H2FrameHead&), which returns whether to go on, when a head is complete.
  // False: it said no.
  template <typename F>
  bool Walk(std::string_view bytes, F&& see) {
    while (true) {
      const size_t skipped = std::min<size_t>(skip_, bytes.size());
      bytes.remove_prefix(skipped);
      skip_ -= static_cast<uint32_t>(skipped);
      if (bytes.empty()) return true;
      const size_t taken = std::min(Wanted() - have_, bytes.size());
      std::memcpy(head_ + have_, bytes.data(), taken);
      bytes.remove_prefix(taken);
      have_ += taken;
      if (have_ < Wanted()) {
        if (bytes.empty()) return true;
        continue;
      }
      const H2FrameHead head = Complete();
      NoteBlock(head);
      if (!see(head)) return false;
    }
  }

  // Nothing of a frame or of a header block is outstanding.
  bool at_boundary() const { return skip_ == 0 && have_ == 0 && !in_block_; }
  // HEADERS have begun whose end has not come.
  bool in_header_block() const { return in_block_ || (last_ends_block_ && skip_ > 0); }
  // How many have begun.
  uint32_t header_blocks() const { return blocks_; }

 private:
  static constexpr size_t kHeadBytes = 9;
  static constexpr size_t kValueBytes = 4;
  // How many bytes of the frame are looked at; known once its head is there.
  size_t Wanted() const;
  // The frame in head_, of which the rest passes unseen.
  H2FrameHead Complete();
  void NoteBlock(const H2FrameHead& head);

  uint32_t skip_;
  size_t have_ = 0;
  uint8_t head_[kHeadBytes + kValueBytes];
  uint32_t blocks_ = 0;
  bool in_block_ = false;         // END_HEADERS is to come.
  bool last_ends_block_ = false;  // The frame now passing has it.
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H2_FRAMES_H_
