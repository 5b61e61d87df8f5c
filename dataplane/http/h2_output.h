// Frames on their way to the transport. For both roles. No I/O.
#ifndef DATAPLANE_HTTP_H2_OUTPUT_H_
#define DATAPLANE_HTTP_H2_OUTPUT_H_

#include <array>
#include <cstddef>
#include <string_view>

#include "dataplane/base/buffer.h"

namespace portico::http {

// What is sent with one call: frames of many streams one behind the other. Small things are
// copied, the content of large DATA frames stays where it is. Holds nothing while it is empty.
class H2Output {
 public:
  // Pieces that do not lie one behind the other; as many as a send takes.
  static constexpr size_t kMaxSlices = 16;
  // Content of at least this size is not copied.
  static constexpr size_t kShared = 4096;

  // Copies. May be called on a full one: what nghttp2 has made cannot be given back.
  void Append(std::string_view bytes, base::BufferPool& pool);
  // A DATA frame: its head and content that lies in `owner`, or in nobody's buffer.
  void AppendData(std::string_view frame_head, std::string_view content, const base::Buffer& owner,
                  base::BufferPool& pool);

  // No DATA is to be added before this is sent.
  bool full() const { return slice_count_ + 3 > kMaxSlices || bytes_ >= kMaxBytes; }
  bool empty() const { return bytes_ == 0; }
  size_t bytes() const { return bytes_; }

  // Calls add(std::string_view) for each slice.
  template <typename F>
  void ForEachSlice(F&& add) const {
    for (size_t i = 0; i < slice_count_; ++i) add(slices_[i]);
  }
  void Clear();
  void Swap(H2Output& other);

 private:
  static constexpr size_t kMaxBytes = 128 * 1024;

  void AddSlice(std::string_view bytes);
  // A buffer with room for `size` bytes behind what was copied before.
  char* Room(size_t size, base::BufferPool& pool);
  void Keep(base::Buffer buffer);

  base::Buffer copied_;
  std::array<std::string_view, kMaxSlices> slices_;
  std::array<base::Buffer, kMaxSlices> kept_;
  size_t slice_count_ = 0;
  size_t kept_count_ = 0;
  size_t bytes_ = 0;
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H2_OUTPUT_H_
