#include "dataplane/proxy/websocket_key.h"

#include <openssl/sha.h>

#include <cstdint>
#include <cstring>

#include "dataplane/proxy/grpc_web.h"

namespace portico::proxy {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

}  // namespace

std::string_view MakeWebSocketKey(upstream::Random& random, base::Arena& arena) {
  const uint64_t words[2] = {random.Next(), random.Next()};
  char bytes[sizeof(words)];
  std::memcpy(bytes, words, sizeof(words));
  return EncodeBase64({bytes, sizeof(bytes)}, arena);
}

std::string_view WebSocketAccept(std::string_view key, base::Arena& arena) {
  const std::string_view text = arena.Concat({key, kGuid});
  uint8_t digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest);
  return EncodeBase64({reinterpret_cast<const char*>(digest), sizeof(digest)}, arena);
}

}  // namespace portico::proxy
