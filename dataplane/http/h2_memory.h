// Where nghttp2's sessions take their memory from.
#ifndef DATAPLANE_HTTP_H2_MEMORY_H_
#define DATAPLANE_HTTP_H2_MEMORY_H_

#include <nghttp2/nghttp2.h>

namespace portico::http {

// Small blocks come from this thread's pool of frames (event/frame_pool.h), so that in steady
// state no exchange reaches the general heap. A session is made, used and deleted on one thread.
nghttp2_mem* H2Memory();

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H2_MEMORY_H_
