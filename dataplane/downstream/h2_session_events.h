// What nghttp2 tells an H2ServerConnection.
#ifndef DATAPLANE_DOWNSTREAM_H2_SESSION_EVENTS_H_
#define DATAPLANE_DOWNSTREAM_H2_SESSION_EVENTS_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string_view>

namespace portico::downstream {

class H2ServerConnection;
class H2ServerStream;

// The callbacks of a session whose user data is the connection. They note what happened and never
// run any of the handler's code.
class H2SessionEvents {
 public:
  // With our settings waiting to be sent. nullptr: no memory.
  static nghttp2_session* MakeSession(H2ServerConnection& connection);
  // nghttp2 ends the connection of a client that opens too many streams. We refuse the streams (RFC
  // 9113 section 5.1.2 leaves the choice), so only the client is told of the limit: in `frame`, our
  // first SETTINGS.
  static void TellStreamLimit(uint8_t* frame, size_t size, uint32_t limit);

 private:
  static nghttp2_session_callbacks* Callbacks();
  static nghttp2_option* Options();

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t flags,
                      void* user);
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int OnData(nghttp2_session*, uint8_t flags, int32_t id, const uint8_t* bytes, size_t size,
                    void* user);
  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t code, void* user);
  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int OnSendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* frame_head,
                        size_t size, nghttp2_data_source* source, void* user);

  static void EndRequestHead(H2ServerConnection& connection, bool end_stream);
  static void EndTrailers(H2ServerConnection& connection, bool end_stream);
};

// Why a stream or a connection was given up, as counters name it; empty: no fault of the client's.
std::string_view H2ErrorReason(uint32_t code);

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_H2_SESSION_EVENTS_H_
