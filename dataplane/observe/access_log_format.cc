#include "dataplane/observe/access_log_format.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "absl/time/time.h"

namespace portico::observe {
namespace {

using Header = std::pair<std::string_view, std::string_view>;

// How many bytes the character at the start of `text` has; 0 if it is no UTF-8
// (RFC 3629 section 4: no overlong forms, no surrogates, nothing above U+10FFFF).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto continues = [&](size_t i, uint8_t low = 0x80, uint8_t high = 0xbf) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const uint8_t low = first == 0xe0 ? 0xa0 : 0x80;
    const uint8_t high = first == 0xed ? 0x9f : 0xbf;
    return continues(1, low, high) && continues(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const uint8_t low = first == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = first == 0xf4 ? 0x8f : 0xbf;
    return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

void AppendEscaped(char c, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kHex[static_cast<uint8_t>(c) >> 4];
      out += kHex[static_cast<uint8_t>(c) & 15];
  }
}

void AppendNumber(int64_t value, std::string& out) {
  std::array<char, 24> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out.append(text.data(), static_cast<size_t>(end - text.data()));
}

void AppendPadded(int64_t value, size_t digits, std::string& out) {
  std::array<char, 24> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  const size_t size = static_cast<size_t>(end - text.data());
  if (size < digits) out.append(digits - size, '0');
  out.append(text.data(), size);
}

// ,"name":
void AppendKey(std::string_view name, std::string& out) {
  out += ",\"";
  out += name;
  out += "\":";
}

void AppendText(std::string_view name, std::string_view text, std::string& out) {
  if (text.empty()) return;
  AppendKey(name, out);
  AppendJsonString(text, out);
}

void AppendInteger(std::string_view name, uint64_t value, std::string& out) {
  AppendKey(name, out);
  AppendNumber(static_cast<int64_t>(value), out);
}

// Milliseconds with three decimals.
void AppendMillis(std::string_view name, int64_t nanos, std::string& out) {
  const int64_t micros = nanos < 0 ? 0 : nanos / 1000;
  AppendKey(name, out);
  AppendNumber(micros / 1000, out);
  out += '.';
  AppendPadded(micros % 1000, 3, out);
}

// One member per name; the values of a repeated field are joined (RFC 9110
// section 5.3).
void AppendHeaders(std::string_view name, absl::Span<const Header> headers, std::string& out) {
  if (headers.empty()) return;
  AppendKey(name, out);
  char separator = '{';
  for (size_t i = 0; i < headers.size(); ++i) {
    const auto same = [&](const Header& other) { return other.first == headers[i].first; };
    if (std::any_of(headers.begin(), headers.begin() + i, same)) continue;
    out += separator;
    separator = ',';
    AppendJsonString(headers[i].first, out);
    out += ':';
    if (std::none_of(headers.begin() + i + 1, headers.end(), same)) {
      AppendJsonString(headers[i].second, out);
      continue;
    }
    std::string joined(headers[i].second);
    for (size_t k = i + 1; k < headers.size(); ++k) {
      if (same(headers[k])) joined.append(", ").append(headers[k].second);
    }
    AppendJsonString(joined, out);
  }
  out += '}';
}

}  // namespace

void AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  size_t copied = 0;  // What is before it is in `out`.
  for (size_t at = 0; at < text.size();) {
    const uint8_t c = static_cast<uint8_t>(text[at]);
    const size_t length = c < 0x80 ? 1 : Utf8Length(text.substr(at));
    if (length > 1 || (length == 1 && c >= 0x20 && c != '"' && c != '\\')) {
      at += length;
      continue;
    }
    out.append(text, copied, at - copied);
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else {
      AppendEscaped(text[at], out);
    }
    copied = ++at;
  }
  out.append(text, copied);
  out += '"';
}

void AccessLogFormatter::AppendTime(base::UnixNanos time, std::string& out) {
  if (time < 0) time = 0;
  const int64_t second = time / base::kNanosPerSecond;
  if (second != second_) {
    second_ = second;
    second_text_ =
        absl::FormatTime("%Y-%m-%dT%H:%M:%S", absl::FromUnixSeconds(second), absl::UTCTimeZone());
  }
  out += second_text_;
  out += '.';
  AppendPadded(time % base::kNanosPerSecond / base::kNanosPerMilli, 3, out);
  out += 'Z';
}

void AccessLogFormatter::AppendLine(const AccessRecord& record, std::string& out) {
  out += "{\"time\":\"";
  AppendTime(record.start, out);
  out += '"';
  AppendText("listener", record.listener, out);
  AppendText("protocol", record.protocol, out);
  AppendText("tls_version", record.tls_version, out);
  AppendText("tls_client", record.tls_client, out);
  std::array<char, 48> client;
  AppendText("client", {client.data(), record.client.Format(client.data())}, out);
  AppendInteger("client_port", record.client_port, out);
  AppendText("request_id", record.request_id, out);
  AppendText("method", record.method, out);
  AppendText("host", record.host, out);
  AppendText("path", record.path, out);
  // Values of queries are often secrets; that there was one is enough.
  if (record.query) out += ",\"query\":true";
  AppendInteger("status", record.status < 0 ? 0 : static_cast<uint64_t>(record.status), out);
  if (record.grpc_status >= 0) {
    AppendInteger("grpc_status", static_cast<uint64_t>(record.grpc_status), out);
  }
  AppendText("reason", record.reason, out);
  AppendText("detail", record.detail, out);
  AppendText("route", record.route, out);
  AppendText("upstream", record.upstream, out);
  AppendText("endpoint", record.endpoint, out);
  AppendText("consumer", record.consumer, out);
  AppendMillis("duration_ms", record.duration_nanos, out);
  if (record.upstream_duration_nanos > 0) {
    AppendMillis("upstream_duration_ms", record.upstream_duration_nanos, out);
  }
  AppendInteger("request_bytes", record.request_bytes, out);
  AppendInteger("response_bytes", record.response_bytes, out);
  AppendInteger("attempts", record.attempts, out);
  AppendText("user_agent", record.user_agent, out);
  AppendHeaders("request_headers", record.request_headers, out);
  AppendHeaders("response_headers", record.response_headers, out);
  out += "}\n";
}

}  // namespace portico::observe
