#include "dataplane/event/uring_buffers.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "dataplane/base/check.h"

namespace portico::event {
namespace {

constexpr size_t kPage = 4096;
// What is lent at first, in blocks and in bytes.
constexpr unsigned kMinLent = 2;
constexpr unsigned kMaxFirstLent = 32;
constexpr size_t kFirstLentBytes = 512 * 1024;
// How many go at a time.
constexpr unsigned kAgeingPart = 16;

}  // namespace

void UringBuffers::FreeMemory::operator()(io_uring_buf_ring* ring) const { std::free(ring); }

UringBuffers::UringBuffers(base::BufferPool& pool, size_t capacity, uint16_t id, unsigned entries)
    : pool_(pool),
      capacity_(capacity),
      id_(id),
      entries_(entries),
      lent_(entries, nullptr),
      first_(std::min(entries, std::clamp(static_cast<unsigned>(kFirstLentBytes / capacity),
                                          kMinLent, kMaxFirstLent))),
      wanted_(first_) {
  const size_t bytes = (entries * sizeof(io_uring_buf) + kPage - 1) / kPage * kPage;
  ring_.reset(static_cast<io_uring_buf_ring*>(std::aligned_alloc(kPage, bytes)));
  PORTICO_CHECK(ring_ != nullptr);
  io_uring_buf_ring_init(ring_.get());
  free_ids_.reserve(entries);
  for (unsigned i = entries; i > 0; --i) free_ids_.push_back(static_cast<uint16_t>(i - 1));
}

UringBuffers::~UringBuffers() {
  for (char* bytes : lent_) {
    if (bytes != nullptr) pool_.Reclaim(bytes).Reset();
  }
}

int UringBuffers::Register(UringRing& ring) { return ring.RegisterBufferRing(ring_.get(), entries_, id_); }

void UringBuffers::Lend(uint16_t buffer_id, char* bytes) {
  lent_[buffer_id] = bytes;
  io_uring_buf_ring_add(ring_.get(), bytes, static_cast<unsigned>(capacity_), buffer_id,
                        io_uring_buf_ring_mask(entries_), 0);
  io_uring_buf_ring_advance(ring_.get(), 1);
}

void UringBuffers::Refill() {
  while (lent() < wanted_) {
    const uint16_t buffer_id = free_ids_.back();
    free_ids_.pop_back();
    Lend(buffer_id, pool_.Lend(pool_.Allocate(capacity_)));
  }
}

base::Buffer UringBuffers::Take(uint16_t buffer_id) {
  char* bytes = std::exchange(lent_[buffer_id], nullptr);
  PORTICO_CHECK(bytes != nullptr);
  free_ids_.push_back(buffer_id);
  return pool_.Reclaim(bytes);
}

void UringBuffers::Recycle(uint16_t buffer_id) {
  char* bytes = lent_[buffer_id];
  PORTICO_CHECK(bytes != nullptr);
  Lend(buffer_id, bytes);
}

void UringBuffers::WantMore() {
  wanted_ = std::min(entries_, wanted_ + 1);
  short_ = true;
}

void UringBuffers::Age() {
  if (!std::exchange(short_, false)) Shrink(wanted_ - (wanted_ + kAgeingPart - 1) / kAgeingPart);
}

void UringBuffers::ShrinkToFirst() { Shrink(first_); }

void UringBuffers::Shrink(unsigned wanted) {
  wanted_ = std::max(wanted, first_);
  while (lent() > wanted_) {
    // The kernel takes from the front: what was lent last is taken back.
    const auto tail = static_cast<uint16_t>(ring_->tail - 1);
    const uint16_t buffer_id = ring_->bufs[tail & io_uring_buf_ring_mask(entries_)].bid;
    io_uring_smp_store_release(&ring_->tail, tail);
    Take(buffer_id).Reset();
  }
}

}  // namespace portico::event
