// What nghttp2 tells. Nothing in here resumes anybody: tasks are woken later in the turn.
#include <string_view>

#include "dataplane/upstream/h2_client_connection_impl.h"

namespace portico::upstream {

const char* H2ErrorName(uint32_t error_code) { return nghttp2_http2_strerror(error_code); }

struct H2ClientCallbacks {
  static H2ClientConnection& Connection(void* user) {
    return *static_cast<H2ClientConnection*>(user);
  }
  // nullptr: its exchange has ended.
  static H2ClientStream* Stream(nghttp2_session* session, int32_t id) {
    return static_cast<H2ClientStream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int Violation(H2ClientConnection& connection, std::string_view reason) {
    connection.violation_ = reason;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    if (H2ClientStream* stream = Stream(session, frame->hd.stream_id); stream != nullptr) {
      stream->BeginBlock();
    }
    return 0;
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                      void* user) {
    H2ClientStream* stream = Stream(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const std::string_view field(reinterpret_cast<const char*>(name), name_length);
    const std::string_view text(reinterpret_cast<const char*>(value), value_length);
    if (stream->AddField(field, text)) return 0;
    return Violation(Connection(user), "headers_too_large");
  }

  // A field that HTTP/2 does not allow: the stream ends.
  static int OnInvalidHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t,
                             const uint8_t*, size_t, uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int OnDataChunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data,
                         size_t size, void* user) {
    H2ClientConnection& connection = Connection(user);
    nghttp2_session_consume_connection(session, connection.ConsumedOfConnection(size));
    if (H2ClientStream* stream = Stream(session, id); stream != nullptr) {
      stream->OnData(*connection.input_, {reinterpret_cast<const char*>(data), size});
    }
    return 0;
  }

  static int OnFrameReceived(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    H2ClientConnection& connection = Connection(user);
    H2ClientStream* stream = Stream(session, frame->hd.stream_id);
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        connection.next_ping_ = 0;
        if (stream != nullptr) stream->EndBlock(end);
        break;
      case NGHTTP2_DATA:
        connection.next_ping_ = 0;
        if (stream != nullptr && end) stream->OnRemoteEnd();
        break;
      case NGHTTP2_RST_STREAM:
        if (connection.options_.metrics != nullptr) {
          connection.options_.metrics->upstream_stream_resets_total.Add();
        }
        if (stream != nullptr) stream->OnResetReceived();
        break;
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) break;
        connection.settings_received_ = connection.room_changed_ = true;
        connection.settings_changed_.NotifyAll();
        break;
      case NGHTTP2_GOAWAY:
        if (connection.options_.metrics != nullptr) {
          connection.options_.metrics->upstream_goaways_total.Add();
        }
        connection.draining_ = true;
        break;
      default:
        break;
    }
    return 0;
  }

  static int OnInvalidFrame(nghttp2_session* session, const nghttp2_frame* frame, int error,
                            void*) {
    if (H2ClientStream* stream = Stream(session, frame->hd.stream_id); stream != nullptr) {
      stream->OnInvalid(nghttp2_strerror(error));
    }
    return 0;
  }

  static int OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS) {
      if (H2ClientStream* stream = Stream(session, frame->hd.stream_id); stream != nullptr) {
        stream->OnHeadSent();
      }
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
      Connection(user).goaway_sent_ = frame->goaway.error_code;
    }
    return 0;
  }

  static int OnStreamClosed(nghttp2_session* session, int32_t id, uint32_t error_code, void*) {
    if (H2ClientStream* stream = Stream(session, id); stream != nullptr) {
      stream->OnClosed(error_code);
    }
    return 0;
  }

  static int SendData(nghttp2_session* session, nghttp2_frame* frame, const uint8_t* frame_head,
                      size_t size, nghttp2_data_source*, void* user) {
    H2ClientConnection& connection = Connection(user);
    H2ClientStream* stream = Stream(session, frame->hd.stream_id);
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (connection.output_.full()) return NGHTTP2_ERR_WOULDBLOCK;
    const std::string_view head(reinterpret_cast<const char*>(frame_head), 9);
    connection.output_.AppendData(head, stream->Unsent(size), stream->unsent_owner(),
                                  connection.loop_.upstream_buffers());
    stream->TakeUnsent(size);
    connection.flood_.DataMoved();
    return 0;
  }
};

void SetH2ClientCallbacks(nghttp2_session_callbacks* callbacks) {
  using C = H2ClientCallbacks;
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &C::OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &C::OnHeader);
  nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, &C::OnInvalidHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &C::OnDataChunk);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &C::OnFrameReceived);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, &C::OnInvalidFrame);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, &C::OnFrameSent);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &C::OnStreamClosed);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, &C::SendData);
}

}  // namespace portico::upstream
