#include "dataplane/downstream/listener_options.h"

namespace portico::downstream {

ConnectionOptions OptionsOf(const snapshot::ListenerEntry& listener) {
  ConnectionOptions options;
  options.head.max_header_bytes = listener.max_header_bytes;
  options.head.max_header_count = listener.max_header_count;
  options.max_body_bytes = listener.max_body_bytes;
  options.header_timeout = listener.header_timeout_nanos;
  options.stream_idle_timeout = listener.stream_idle_timeout_nanos;
  options.idle_timeout = listener.idle_timeout_nanos;
  options.max_requests_per_connection = listener.max_requests_per_connection;
  options.max_connections_per_address = listener.max_connections_per_address;
  options.proxy_protocol = listener.proxy_protocol;
  options.http2 = listener.http2;
  if (listener.http2_max_streams != 0) options.http2_max_streams = listener.http2_max_streams;
  if (listener.http2_stream_window != 0) options.http2_stream_window = listener.http2_stream_window;
  if (listener.http2_connection_window != 0) {
    options.http2_connection_window = listener.http2_connection_window;
  }
  return options;
}

}  // namespace portico::downstream
