// Where nghttp2's sessions take their memory from.
#ifndef DATAPLANE_HTTP_H2_MEMORY_H_
#define DATAPLANE_HTTP_H2_MEMORY_H_

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>

namespace portico::http {

// Small blocks come from this thread's pool of frames (event/frame_pool.h), so that in steady
// state no exchange reaches the general heap. A session is made, used and deleted on one thread.
nghttp2_mem* H2Memory();

// nghttp2 keeps 16 KiB in each session, in which it makes one frame after the other: more than all
// else that a resting connection holds. Server sessions that are made while one of these lives
// share it with all others of their thread, so that two rules hold: what nghttp2_session_mem_send()
// gives is copied at once, and its send_data callback never postpones a frame. (Clients cannot:
// their preface waits in there.)
class H2SharedFrameBuffer {
 public:
  H2SharedFrameBuffer();
  ~H2SharedFrameBuffer();
  H2SharedFrameBuffer(const H2SharedFrameBuffer&) = delete;
  H2SharedFrameBuffer& operator=(const H2SharedFrameBuffer&) = delete;
};

// What HTTP/2 holds on this thread beside buffers: blocks of H2Memory(), and H2Held. Bytes.
uint64_t H2HeldBytes();

// Counts what an object and what belongs to it hold, while it lives, on the thread that made it.
class H2Held {
 public:
  explicit H2Held(size_t bytes);
  ~H2Held();
  H2Held(const H2Held&) = delete;
  H2Held& operator=(const H2Held&) = delete;

 private:
  const size_t bytes_;
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H2_MEMORY_H_
