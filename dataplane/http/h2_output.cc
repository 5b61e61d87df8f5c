#include "dataplane/http/h2_output.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace portico::http {

void H2Output::AddSlice(std::string_view bytes) {
  bytes_ += bytes.size();
  if (slice_count_ > 0) {
    std::string_view& last = slices_[slice_count_ - 1];
    if (last.data() + last.size() == bytes.data()) {
      last = {last.data(), last.size() + bytes.size()};
      return;
    }
  }
  PORTICO_CHECK(slice_count_ < kMaxSlices);
  slices_[slice_count_++] = bytes;
}

void H2Output::Keep(base::Buffer buffer) {
  PORTICO_CHECK(kept_count_ < kMaxSlices);
  kept_[kept_count_++] = std::move(buffer);
}

char* H2Output::Room(size_t size, base::BufferPool& pool) {
  if (copied_.capacity() - copied_.size() < size) {
    if (copied_ && slice_count_ + 1 >= kMaxSlices) {
      // Many heads behind a full output, which nobody can refuse: one buffer for all of them.
      base::Buffer larger = pool.Allocate(bytes_ + size);
      size_t at = 0;
      for (size_t i = 0; i < slice_count_; ++i) {
        std::memcpy(larger.data() + at, slices_[i].data(), slices_[i].size());
        at += slices_[i].size();
      }
      Clear();
      larger.set_size(at);
      copied_ = std::move(larger);
      AddSlice(copied_.view());
    } else {
      if (copied_) Keep(std::move(copied_));
      copied_ = pool.Allocate(std::max(size, base::BufferPool::kSmall));
    }
  }
  char* const at = copied_.data() + copied_.size();
  copied_.set_size(copied_.size() + size);
  return at;
}

void H2Output::Append(std::string_view bytes, base::BufferPool& pool) {
  if (bytes.empty()) return;
  char* const at = Room(bytes.size(), pool);
  std::memcpy(at, bytes.data(), bytes.size());
  AddSlice({at, bytes.size()});
}

void H2Output::AppendData(std::string_view frame_head, std::string_view content,
                          const base::Buffer& owner, base::BufferPool& pool) {
  const bool shared = owner && content.size() >= kShared && slice_count_ + 2 < kMaxSlices;
  char* const at = Room(frame_head.size() + (shared ? 0 : content.size()), pool);
  std::memcpy(at, frame_head.data(), frame_head.size());
  if (shared) {
    AddSlice({at, frame_head.size()});
    AddSlice(content);
    Keep(owner.Share());
    return;
  }
  if (!content.empty()) std::memcpy(at + frame_head.size(), content.data(), content.size());
  AddSlice({at, frame_head.size() + content.size()});
}

void H2Output::Clear() {
  copied_.Reset();
  for (size_t i = 0; i < kept_count_; ++i) kept_[i].Reset();
  slice_count_ = kept_count_ = bytes_ = 0;
}

void H2Output::Swap(H2Output& other) {
  std::swap(copied_, other.copied_);
  // The slots beyond the counts are empty in both.
  const size_t slices = std::max(slice_count_, other.slice_count_);
  for (size_t i = 0; i < slices; ++i) std::swap(slices_[i], other.slices_[i]);
  const size_t kept = std::max(kept_count_, other.kept_count_);
  for (size_t i = 0; i < kept; ++i) std::swap(kept_[i], other.kept_[i]);
  std::swap(slice_count_, other.slice_count_);
  std::swap(kept_count_, other.kept_count_);
  std::swap(bytes_, other.bytes_);
}

}  // namespace portico::http
