#include "dataplane/net/proxy_protocol.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace portico::net {
namespace {

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string Bytes(std::initializer_list<int> bytes) {
  std::string out;
  for (int b : bytes) out.push_back(static_cast<char>(b));
  return out;
}

// A version 2 header with the right length.
std::string V2(int command, int family, const std::string& rest) {
  const auto size = static_cast<int>(rest.size());
  return kSignature + Bytes({command, family, size >> 8, size & 0xff}) + rest;
}

const std::string kV4 = Bytes({192, 0, 2, 1, 198, 51, 100, 2, 0x1f, 0x90, 0x01, 0xbb});
const std::string kV6 = std::string(15, '\0') + Bytes({1}) + std::string(15, '\0') + Bytes({2, 0x1f, 0x90, 0x01, 0xbb});

std::string Describe(const ProxyParseResult& result) {
  switch (result.state) {
    case ProxyParseResult::kNeedMore:
      return "more";
    case ProxyParseResult::kError:
      return "error";
    case ProxyParseResult::kDone:
      break;
  }
  const ProxyHeader& header = result.header;
  std::string out = "v" + std::to_string(header.version) + (header.local ? " local" : "");
  if (header.source) out += " " + header.source->ToString() + " > " + header.destination->ToString();
  return out;
}

struct Case {
  std::string bytes;
  std::string result;
};

const Case kCases[] = {
    // Version 1.
    {"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n", "v1 192.0.2.1:8080 > 198.51.100.2:443"},
    {"PROXY TCP6 ::1 ::2 8080 443\r\n", "v1 [::1]:8080 > [::2]:443"},
    {"PROXY TCP6 ::ffff:1.2.3.4 ::2 1 2\r\n", "v1 1.2.3.4:1 > [::2]:2"},
    {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "v1 255.255.255.255:65535 > 255.255.255.255:65535"},
    {"PROXY UNKNOWN\r\n", "v1"},
    {"PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n", "v1"},
    {"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\n", "error"},
    {"PROXY UNKNOWNX\r\n", "error"},
    {"PROXY TCP5 192.0.2.1 198.51.100.2 8080 443\r\n", "error"},
    {"PROXY tcp4 192.0.2.1 198.51.100.2 8080 443\r\n", "error"},
    {"PROXY  TCP4 192.0.2.1 198.51.100.2 8080 443\r\n", "error"},
    {"PROXY TCP4  192.0.2.1 198.51.100.2 8080 443\r\n", "error"},
    {"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443 \r\n", "error"},
    {"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443 5\r\n", "error"},
    {"PROXY TCP4 192.0.2.1 198.51.100.2 8080\r\n", "error"},
    {"PROXY TCP4 192.0.2.1 198.51.100.2 8080 \r\n", "error"},
    {"PROXY TCP4 192.0.2.1 198.51.100.2 08080 443\r\n", "error"},
    {"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n", "error"},
    {"PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n", "error"},
    {"PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n", "error"},
    {"PROXY TCP4 ::1 ::2 8080 443\r\n", "error"},
    {"PROXY TCP6 192.0.2.1 198.51.100.2 8080 443\r\n", "error"},
    {"PROXY TCP4 192.0.2.256 198.51.100.2 8080 443\r\n", "error"},
    {"PROXY TCP4 192.0.2.1\r\n", "error"},
    {"PROXY TCP4\r\n", "error"},
    {"PROXY\r\n", "error"},
    {"PROXYTCP4 192.0.2.1 198.51.100.2 8080 443\r\n", "error"},
    {"PROXY TCP4 192.0.2.1 198.51.100.2 8080\r443\r\n", "error"},
    {"PROXY UNKNOWN " + std::string(91, 'x') + "\r\n", "v1"},
    {"PROXY UNKNOWN " + std::string(92, 'x') + "\r\n", "error"},
    {"PROXY UNKNOWN " + std::string(500, 'x'), "error"},
    // Version 2.
    {V2(0x21, 0x11, kV4), "v2 192.0.2.1:8080 > 198.51.100.2:443"},
    {V2(0x21, 0x21, kV6), "v2 [::1]:8080 > [::2]:443"},
    {V2(0x21, 0x31, std::string(216, 'u')), "v2"},
    {V2(0x21, 0x12, kV4), "v2"},
    {V2(0x21, 0x00, ""), "v2"},
    {V2(0x21, 0x00, "whatever"), "v2"},
    {V2(0x20, 0x00, ""), "v2 local"},
    {V2(0x20, 0x11, kV4), "v2 local"},
    {V2(0x20, 0x11, "short"), "v2 local"},
    {V2(0x21, 0x11, kV4 + Bytes({4, 0, 3, 0, 0, 0})), "v2 192.0.2.1:8080 > 198.51.100.2:443"},
    {V2(0x21, 0x11, kV4 + Bytes({2, 0, 1, 'h', 0xe0, 0, 0})), "v2 192.0.2.1:8080 > 198.51.100.2:443"},
    {V2(0x21, 0x11, kV4 + Bytes({4})), "error"},
    {V2(0x21, 0x11, kV4 + Bytes({4, 0})), "error"},
    {V2(0x21, 0x11, kV4 + Bytes({4, 0, 2, 0})), "error"},
    {V2(0x21, 0x11, kV4 + Bytes({3, 0, 3, 0, 0, 0})), "error"},
    {V2(0x21, 0x11, kV4 + Bytes({3, 0, 4, 1, 2, 3, 4})), "error"},
    {V2(0x21, 0x11, kV4.substr(1)), "error"},
    {V2(0x21, 0x21, kV6.substr(1)), "error"},
    {V2(0x21, 0x31, std::string(215, 'u')), "error"},
    {V2(0x31, 0x11, kV4), "error"},
    {V2(0x11, 0x11, kV4), "error"},
    {V2(0x22, 0x11, kV4), "error"},
    {V2(0x21, 0x41, kV4), "error"},
    {V2(0x21, 0x13, kV4), "error"},
    {V2(0x21, 0x11, kV4 + Bytes({4, 0x0f, 0xe1}) + std::string(4065, 'p')), "v2 192.0.2.1:8080 > 198.51.100.2:443"},
    {V2(0x21, 0x11, kV4 + Bytes({4, 0x0f, 0xe2}) + std::string(4066, 'p')), "error"},
    {kSignature + Bytes({0x21, 0x11, 0xff, 0xff}), "error"},
    // Neither.
    {"GET / HTTP/1.1\r\n", "error"},
    {"\x16\x03\x01", "error"},
    {"PRI * HTTP/2.0\r\n", "error"},
    {"\r\n\r\nGET", "error"},
    {"", "more"},
};

TEST(ProxyProtocolTest, Parses) {
  for (const Case& c : kCases) {
    const ProxyParseResult result = ParseProxyHeader(c.bytes);
    EXPECT_EQ(Describe(result), c.result) << c.bytes << " " << result.error;
    if (result.state == ProxyParseResult::kDone) {
      EXPECT_EQ(result.header.consumed, c.bytes.size());
    }
    if (result.state == ProxyParseResult::kError) {
      EXPECT_EQ(result.error.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_FALSE(result.error.message().empty());
    }
  }
}

// However the bytes come in, the answer is the same, and what follows is left alone.
TEST(ProxyProtocolTest, ByteByByteAndFollowedByMore) {
  for (const Case& c : kCases) {
    const bool good = c.result[0] == 'v';
    for (size_t size = 0; size < c.bytes.size(); ++size) {
      const std::string got = Describe(ParseProxyHeader(std::string_view(c.bytes).substr(0, size)));
      if (good) {
        ASSERT_EQ(got, "more") << c.bytes << " " << size;
      } else {
        ASSERT_TRUE(got == "more" || got == "error") << c.bytes << " " << size;
      }
    }
    if (!good) continue;
    const ProxyParseResult result = ParseProxyHeader(c.bytes + "GET / HTTP/1.1\r\n");
    EXPECT_EQ(Describe(result), c.result);
    EXPECT_EQ(result.header.consumed, c.bytes.size());
  }
}

TEST(ProxyProtocolTest, VerifiesTheChecksum) {
  // CRC-32C, bit by bit, over the header with zeros in the checksum's place.
  std::string header = V2(0x21, 0x11, kV4 + Bytes({3, 0, 4, 0, 0, 0, 0, 4, 0, 1, 0}));
  uint32_t crc = 0xffffffffu;
  for (char c : header) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0x82f63b78u ^ (crc >> 1) : crc >> 1;
  }
  crc ^= 0xffffffffu;
  const size_t at = 16 + kV4.size() + 3;
  for (size_t i = 0; i < 4; ++i) header[at + i] = static_cast<char>(crc >> (24 - 8 * i));
  EXPECT_EQ(Describe(ParseProxyHeader(header)), "v2 192.0.2.1:8080 > 198.51.100.2:443");
  for (size_t i = 16; i < header.size(); ++i) {
    std::string flipped = header;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
    const std::string got = Describe(ParseProxyHeader(flipped));
    // Turning the checksum's own type into another hides it; that is all.
    if (i != at - 3) {
      EXPECT_EQ(got, "error") << i;
    }
  }
}

}  // namespace
}  // namespace portico::net
