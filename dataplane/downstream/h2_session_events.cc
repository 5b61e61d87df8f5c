#include "dataplane/downstream/h2_session_events.h"

#include <iterator>
#include <string>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/downstream/h2_server_connection.h"
#include "dataplane/downstream/h2_server_stream.h"
#include "dataplane/http/h2_memory.h"

namespace portico::downstream {
namespace {

// Of HPACK's table for what we send (RFC 7541 section 4): what most responses have in common
// fits, and an idle connection holds no more.
constexpr size_t kEncoderTableBytes = 2048;
// A header section of the default size takes four frames.
constexpr size_t kMaxContinuations = 8;
// SETTINGS entries in one frame, and frames that wait for a client that does not read.
constexpr size_t kMaxSettings = 32;
constexpr size_t kMaxAcks = 1000;

std::string_view Text(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

H2ServerConnection& ConnectionOf(void* user) { return *static_cast<H2ServerConnection*>(user); }

H2ServerStream* StreamOf(nghttp2_session* session, int32_t id) {
  return static_cast<H2ServerStream*>(nghttp2_session_get_stream_user_data(session, id));
}

}  // namespace

std::string_view H2ErrorReason(uint32_t code) {
  switch (code) {
    case NGHTTP2_PROTOCOL_ERROR:
      return "h2_protocol_error";
    case NGHTTP2_FLOW_CONTROL_ERROR:
      return "h2_flow_control_error";
    case NGHTTP2_STREAM_CLOSED:
      return "h2_stream_closed";
    case NGHTTP2_FRAME_SIZE_ERROR:
      return "h2_frame_size_error";
    case NGHTTP2_COMPRESSION_ERROR:
      return "h2_compression_error";
    case NGHTTP2_REFUSED_STREAM:
      return "h2_refused_stream";
    default:
      return {};
  }
}

nghttp2_session_callbacks* H2SessionEvents::Callbacks() {
  static nghttp2_session_callbacks* const callbacks = [] {
    nghttp2_session_callbacks* made = nullptr;
    PORTICO_CHECK(nghttp2_session_callbacks_new(&made) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(made, &OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(made, &OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, &OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, &OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, &OnStreamClose);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, &OnFrameSent);
    nghttp2_session_callbacks_set_send_data_callback(made, &OnSendData);
    return made;
  }();
  return callbacks;
}

nghttp2_option* H2SessionEvents::Options() {
  static nghttp2_option* const options = [] {
    nghttp2_option* made = nullptr;
    PORTICO_CHECK(nghttp2_option_new(&made) == 0);
    // Windows open as bodies are read.
    nghttp2_option_set_no_auto_window_update(made, 1);
    // http/h2_fields.h looks at heads.
    nghttp2_option_set_no_http_messaging(made, 1);
    nghttp2_option_set_no_closed_streams(made, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(made, kEncoderTableBytes);
    nghttp2_option_set_max_continuations(made, kMaxContinuations);
    nghttp2_option_set_max_settings(made, kMaxSettings);
    nghttp2_option_set_max_outbound_ack(made, kMaxAcks);
    return made;
  }();
  return options;
}

nghttp2_session* H2SessionEvents::MakeSession(H2ServerConnection& connection) {
  const ConnectionOptions& options = connection.context_.options;
  nghttp2_session* session = nullptr;
  const http::H2SharedFrameBuffer shared;
  if (nghttp2_session_server_new3(&session, Callbacks(), &connection, Options(),
                                  http::H2Memory()) != 0) {
    return nullptr;
  }
  const nghttp2_settings_entry settings[] = {
      // Replaced by TellStreamLimit().
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, NGHTTP2_INITIAL_MAX_CONCURRENT_STREAMS},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.http2_stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options.head.max_header_bytes},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(options.http2_connection_window));
  return session;
}

void H2SessionEvents::TellStreamLimit(uint8_t* frame, size_t size, uint32_t limit) {
  constexpr size_t kFrameHead = 9, kEntry = 6;
  for (size_t at = kFrameHead; at + kEntry <= size; at += kEntry) {
    if ((frame[at] << 8 | frame[at + 1]) != NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) continue;
    for (size_t i = 0; i < 4; ++i) frame[at + 2 + i] = static_cast<uint8_t>(limit >> (24 - 8 * i));
  }
}

int H2SessionEvents::OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame,
                                    void* user) {
  H2ServerConnection& connection = ConnectionOf(user);
  const int32_t id = frame->hd.stream_id;
  connection.block_trailers_ = nullptr;
  if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
    H2ServerStream* const stream = connection.block_stream_ = StreamOf(session, id);
    if (stream == nullptr) return 0;
    connection.block_trailers_ = stream->arena_->New<http::HeaderList>(*stream->arena_);
    connection.fields_.Begin(http::H2FieldCollector::Block::kTrailers,
                             connection.context_.options.head, *connection.block_trailers_);
    return 0;
  }
  connection.guard_.StreamOpened();
  // Those that were reset count until their exchange has ended, too.
  if (connection.stream_count_ >= connection.context_.options.http2_max_streams) {
    connection.block_stream_ = nullptr;
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return 0;
  }
  H2ServerStream* const stream = connection.block_stream_ = connection.OpenStream(id);
  nghttp2_session_set_stream_user_data(session, id, stream);
  connection.fields_.Begin(http::H2FieldCollector::Block::kRequest,
                           connection.context_.options.head, stream->request_.headers);
  return 0;
}

int H2SessionEvents::OnHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name,
                              size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                              void* user) {
  H2ServerConnection& connection = ConnectionOf(user);
  if (connection.block_stream_ == nullptr) return 0;
  connection.fields_.Add(Text(name, name_size), Text(value, value_size));
  if (!connection.fields_.bomb()) return 0;
  connection.Violation("header_bomb", NGHTTP2_ENHANCE_YOUR_CALM);
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

void H2SessionEvents::EndRequestHead(H2ServerConnection& connection, bool end_stream) {
  H2ServerStream& stream = *connection.block_stream_;
  const http::H2HeadResult result =
      http::FinishRequest(connection.fields_, end_stream, stream.request_);
  stream.body_ended_ = end_stream;
  if (result.kind == http::H2HeadResult::Kind::kMalformed) {
    connection.ResetStream(stream, NGHTTP2_PROTOCOL_ERROR, result.reason);
    return;
  }
  if (result.kind == http::H2HeadResult::Kind::kRefused) {
    connection.context_.observer.OnProtocolError(result.reason);
    stream.refusal_ = result.status;
    stream.refusal_reason_ = result.reason;
    stream.request_.body = http::BodyKind::kNone;
  }
  stream.continue_wanted_ = stream.request_.expect_continue;
  (connection.opened_last_ == nullptr ? connection.opened_first_
                                      : connection.opened_last_->next_opened_) = &stream;
  connection.opened_last_ = &stream;
  stream.serving_ = true;
}

void H2SessionEvents::EndTrailers(H2ServerConnection& connection, bool end_stream) {
  H2ServerStream& stream = *connection.block_stream_;
  const http::H2HeadResult result = http::FinishTrailers(connection.fields_, end_stream);
  if (result.kind != http::H2HeadResult::Kind::kOk) {
    connection.ResetStream(stream, NGHTTP2_PROTOCOL_ERROR, result.reason);
    return;
  }
  stream.trailers_ = connection.block_trailers_;
}

int H2SessionEvents::OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  H2ServerConnection& connection = ConnectionOf(user);
  const bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (frame->hd.type == NGHTTP2_HEADERS) {
    if (connection.block_stream_ == nullptr) return 0;
    H2ServerStream& stream = *connection.block_stream_;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      EndRequestHead(connection, end_stream);
    } else {
      EndTrailers(connection, end_stream);
      if (end_stream && stream.serving_ && !stream.broken_ && !stream.EndBody()) {
        connection.ResetStream(stream, NGHTTP2_PROTOCOL_ERROR, "conflicting_length");
      }
    }
    connection.block_stream_ = nullptr;
  } else if (frame->hd.type == NGHTTP2_DATA && end_stream) {
    H2ServerStream* const stream = StreamOf(session, frame->hd.stream_id);
    if (stream != nullptr && stream->serving_ && !stream->broken_ && !stream->EndBody()) {
      connection.ResetStream(*stream, NGHTTP2_PROTOCOL_ERROR, "conflicting_length");
    }
  } else if (frame->hd.type == NGHTTP2_DATA) {
    // Padding alone is as little as nothing; what has no bytes at all was counted before.
    constexpr auto kKind = http::H2FloodGuard::Kind::kEmptyFrame;
    if (frame->hd.length > 0 && frame->hd.length <= frame->data.padlen &&
        !connection.guard_.Take(kKind, connection.context_.loop.now())) {
      connection.Violation(http::H2FloodGuard::Reason(kKind), NGHTTP2_ENHANCE_YOUR_CALM);
    }
  } else if (frame->hd.type == NGHTTP2_SETTINGS) {
    connection.settled_ = true;
  }
  return 0;
}

int H2SessionEvents::OnData(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes,
                            size_t size, void* user) {
  H2ServerConnection& connection = ConnectionOf(user);
  connection.guard_.DataMoved();
  H2ServerStream* const stream = StreamOf(session, id);
  if (stream == nullptr || !stream->serving_ || stream->body_failed_ || stream->refusal_ != 0) {
    // Nobody will read it. The stream's own window stays shut.
    connection.Dropped(size);
    return 0;
  }
  if (!stream->AddBody(Text(bytes, size), *connection.feeding_)) {
    connection.Dropped(size);
    connection.ResetStream(*stream, NGHTTP2_PROTOCOL_ERROR, "conflicting_length");
  }
  return 0;
}

int H2SessionEvents::OnStreamClose(nghttp2_session* session, int32_t id, uint32_t, void* user) {
  H2ServerConnection& connection = ConnectionOf(user);
  H2ServerStream* const stream = StreamOf(session, id);
  if (stream == nullptr) return 0;
  if (connection.block_stream_ == stream) connection.block_stream_ = nullptr;
  stream->closed_ = true;
  if (!stream->serving_) {
    connection.Release(*stream);
  } else if (stream->response_ != H2ServerStream::Response::kComplete || !stream->body_ended_) {
    stream->Fail(absl::CancelledError("the client reset the stream"));
  }
  return 0;
}

int H2SessionEvents::OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  H2ServerConnection& connection = ConnectionOf(user);
  if (frame->hd.type == NGHTTP2_RST_STREAM) {
    const std::string_view reason = H2ErrorReason(frame->rst_stream.error_code);
    if (reason.empty()) return 0;
    const H2ServerStream* const stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr || !stream->broken_) connection.context_.observer.OnProtocolError(reason);
    // Whoever makes us reset streams is no better than who resets them (CVE-2025-8671).
    if (!connection.guard_.Take(http::H2FloodGuard::Kind::kReset, connection.context_.loop.now())) {
      connection.Violation(http::H2FloodGuard::Reason(http::H2FloodGuard::Kind::kReset),
                           NGHTTP2_ENHANCE_YOUR_CALM);
    }
  } else if (frame->hd.type == NGHTTP2_GOAWAY && !connection.violated_) {
    const std::string_view reason = H2ErrorReason(frame->goaway.error_code);
    if (reason.empty()) return 0;
    connection.violated_ = true;
    connection.context_.observer.OnProtocolError(reason);
  }
  return 0;
}

int H2SessionEvents::OnSendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* frame_head,
                                size_t size, nghttp2_data_source* source, void* user) {
  ConnectionOf(user).guard_.DataMoved();
  constexpr size_t kFrameHead = 9;
  PORTICO_CHECK(frame->data.padlen == 0);
  static_cast<H2ServerStream*>(source->ptr)->DataFramed(Text(frame_head, kFrameHead), size);
  return 0;
}

}  // namespace portico::downstream
