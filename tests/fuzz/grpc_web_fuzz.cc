// What gRPC clients say, as bytes: base64 of grpc-web-text, split by the first byte; content
// types; grpc-timeout. However base64 is split, the same comes out, and what is encoded is decoded
// again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/base/check.h"
#include "dataplane/proxy/grpc.h"
#include "dataplane/proxy/grpc_web.h"

namespace portico::proxy {
namespace {

struct Decoded {
  std::string bytes;
  bool valid = true;
  bool complete = false;
  bool operator==(const Decoded&) const = default;
};

Decoded Decode(std::string_view text, size_t step) {
  Base64Decoder decoder;
  Decoded out;
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, step);
    text.remove_prefix(piece.size());
    std::string some(Base64Decoder::MaxDecoded(piece.size()), '\0');
    const std::optional<size_t> size = decoder.Decode(piece, some.data());
    if (!size.has_value()) return {{}, false, false};
    PORTICO_CHECK(*size <= some.size());
    out.bytes.append(some, 0, *size);
  }
  out.complete = decoder.complete();
  return out;
}

void CheckBase64(std::string_view input, size_t step) {
  const Decoded whole = Decode(input, std::max<size_t>(input.size(), 1));
  PORTICO_CHECK(Decode(input, step) == whole);
  base::Arena arena;
  const Decoded again = Decode(EncodeBase64(input, arena), step);
  PORTICO_CHECK(again.valid && again.complete && again.bytes == input);
  // Without padding in the middle there is one text for each.
  if (whole.valid && whole.complete &&
      input.find('=') >= input.size() - std::min<size_t>(input.size(), 2)) {
    PORTICO_CHECK(EncodeBase64(whole.bytes, arena) == input);
  }
}

void CheckFrame(std::string_view input) {
  base::Arena arena;
  http::HeaderList fields(arena);
  const size_t middle = input.size() / 2;
  if (middle > 0) fields.Add(input.substr(0, middle), input.substr(middle));
  const std::string_view frame = GrpcWebTrailerFrame(&fields, nullptr, arena);
  PORTICO_CHECK(frame.size() >= 5 && static_cast<unsigned char>(frame[0]) == 0x80);
  size_t size = 0;
  for (size_t i = 1; i < 5; ++i) size = size << 8 | static_cast<unsigned char>(frame[i]);
  PORTICO_CHECK(size == frame.size() - 5);
  const int status = GrpcStatusOf(fields);
  PORTICO_CHECK(status >= kNoGrpcStatus && status <= 16);
}

void CheckTimeout(std::string_view input) {
  const std::optional<int64_t> timeout = ParseGrpcTimeout(input);
  const bool form =
      input.size() >= 2 && input.size() <= 9 &&
      std::string_view("HMSmun").find(input.back()) != std::string_view::npos &&
      std::all_of(input.begin(), input.end() - 1, [](char c) { return c >= '0' && c <= '9'; });
  PORTICO_CHECK(timeout.has_value() == form);
  PORTICO_CHECK(!timeout.has_value() || *timeout >= 0);
}

}  // namespace
}  // namespace portico::proxy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t step = size_t{data[0] % 16u} + 1;
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  portico::proxy::CheckBase64(input, step);
  portico::proxy::CheckFrame(input);
  portico::proxy::CheckTimeout(input);
  static_cast<void>(portico::proxy::GrpcOfType(input));
  return 0;
}
