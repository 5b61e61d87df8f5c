#include "dataplane/net/proxy_protocol.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace portico::net {
namespace {

constexpr std::string_view kSignatureV1 = "PROXY";
constexpr std::string_view kSignatureV2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kFixedV2 = 16;

// Section 2.2: commands, families and extension types.
constexpr uint8_t kLocal = 0x20;
constexpr uint8_t kProxy = 0x21;
constexpr uint8_t kTypeCrc32c = 0x03;

ProxyParseResult Error(const char* what) {
  ProxyParseResult result;
  result.state = ProxyParseResult::kError;
  result.error = absl::InvalidArgumentError(absl::StrCat("PROXY protocol: ", what));
  return result;
}

ProxyParseResult Done(const ProxyHeader& header) {
  ProxyParseResult result;
  result.state = ProxyParseResult::kDone;
  result.header = header;
  return result;
}

bool SharesPrefix(std::string_view bytes, std::string_view signature) {
  const size_t size = std::min(bytes.size(), signature.size());
  return bytes.substr(0, size) == signature.substr(0, size);
}

// "1" to "65535", or "0": decimal digits without superfluous zeros.
bool ParsePort(std::string_view text, uint16_t& port) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return false;
  uint32_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  port = static_cast<uint16_t>(value);
  return value <= 65535;
}

// An address of the family that the line named; "::ffff:1.2.3.4" counts as IPv6.
bool ParseIp(std::string_view text, bool v6, IpAddress& ip) {
  if ((text.find(':') != text.npos) != v6) return false;
  const absl::StatusOr<IpAddress> parsed = IpAddress::Parse(text);
  if (!parsed.ok()) return false;
  ip = *parsed;
  return true;
}

// The text up to the next space, or the rest. False if there is nothing.
bool TakeWord(std::string_view& line, std::string_view& word) {
  const size_t space = line.find(' ');
  word = line.substr(0, space);
  line = space == line.npos ? std::string_view() : line.substr(space + 1);
  return !word.empty();
}

// Section 2.1: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".
ProxyParseResult ParseV1(std::string_view bytes) {
  const size_t end = bytes.substr(0, kMaxProxyHeaderV1).find('\n');
  if (end == bytes.npos) {
    if (bytes.size() >= kMaxProxyHeaderV1) return Error("version 1 line is longer than 107 bytes");
    return {};
  }
  if (end == 0 || bytes[end - 1] != '\r') return Error("version 1 line does not end in CR LF");
  ProxyHeader header;
  header.version = 1;
  header.consumed = end + 1;
  std::string_view line = bytes.substr(0, end - 1);
  if (line.substr(0, 6) != "PROXY ") return Error("version 1 line has no space after PROXY");
  line.remove_prefix(6);
  // The rest of an UNKNOWN line must be ignored.
  if (line == "UNKNOWN" || line.substr(0, 8) == "UNKNOWN ") return Done(header);
  std::string_view family, source, destination, source_port;
  if (!TakeWord(line, family) || (family != "TCP4" && family != "TCP6")) {
    return Error("version 1 family is not TCP4, TCP6 or UNKNOWN");
  }
  const bool v6 = family == "TCP6";
  SocketAddress from, to;
  if (!TakeWord(line, source) || !ParseIp(source, v6, from.ip)) return Error("version 1 source address is not valid");
  if (!TakeWord(line, destination) || !ParseIp(destination, v6, to.ip)) {
    return Error("version 1 destination address is not valid");
  }
  if (!TakeWord(line, source_port) || !ParsePort(source_port, from.port)) {
    return Error("version 1 source port is not valid");
  }
  if (!ParsePort(line, to.port)) return Error("version 1 destination port is not valid");
  header.source = from;
  header.destination = to;
  return Done(header);
}

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0x82f63b78u ^ (crc >> 1) : crc >> 1;
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

uint32_t ExtendCrc32c(uint32_t crc, std::string_view bytes) {
  for (char c : bytes) crc = kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
  return crc;
}

uint16_t ReadU16(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[at]) << 8 | static_cast<uint8_t>(bytes[at + 1]));
}

uint32_t ReadU32(std::string_view bytes, size_t at) {
  return static_cast<uint32_t>(ReadU16(bytes, at)) << 16 | ReadU16(bytes, at + 2);
}

// Section 2.2.3: the checksum of the whole header with its own bytes as zeros.
bool ChecksumMatches(std::string_view header, size_t at) {
  constexpr std::string_view kZeros("\0\0\0\0", 4);
  uint32_t crc = ExtendCrc32c(0xffffffffu, header.substr(0, at));
  crc = ExtendCrc32c(crc, kZeros);
  crc = ExtendCrc32c(crc, header.substr(at + 4));
  return (crc ^ 0xffffffffu) == ReadU32(header, at);
}

// Section 2.2: extensions as type, 2 bytes of length, value. nullptr if all is well.
const char* CheckExtensions(std::string_view header, size_t at) {
  bool has_checksum = false;
  while (at < header.size()) {
    if (header.size() - at < 3) return "version 2 extension is cut off";
    const auto type = static_cast<uint8_t>(header[at]);
    const size_t length = ReadU16(header, at + 1);
    at += 3;
    if (length > header.size() - at) return "version 2 extension is longer than the header";
    if (type == kTypeCrc32c) {
      if (length != 4) return "version 2 checksum is not 4 bytes long";
      if (has_checksum) return "version 2 header has two checksums";
      has_checksum = true;
      if (!ChecksumMatches(header, at)) return "version 2 checksum does not match";
    }
    at += length;
  }
  return nullptr;
}

// Bytes of both addresses and ports for a transport family; 0 if it has none that
// we know.
size_t AddressBytes(uint8_t family) {
  switch (family >> 4) {
    case 1:
      return 12;  // IPv4
    case 2:
      return 36;  // IPv6
    case 3:
      return 216;  // Unix
    default:
      return 0;
  }
}

SocketAddress ReadAddress(std::string_view header, size_t ip_at, size_t port_at, bool v6) {
  return {IpAddress::FromBytes(reinterpret_cast<const uint8_t*>(header.data()) + ip_at, v6), ReadU16(header, port_at)};
}

ProxyParseResult ParseV2(std::string_view bytes) {
  // Wrong bytes are refused as soon as they are seen.
  const auto command = bytes.size() > 12 ? static_cast<uint8_t>(bytes[12]) : kProxy;
  if (command >> 4 != 2) return Error("the version of a binary header is not 2");
  if (command != kLocal && command != kProxy) return Error("version 2 command is not LOCAL or PROXY");
  const auto family = bytes.size() > 13 ? static_cast<uint8_t>(bytes[13]) : uint8_t{0};
  if (family >> 4 > 3 || (family & 0x0f) > 2) return Error("version 2 family or transport is not known");
  if (bytes.size() < kFixedV2) return {};
  const size_t total = kFixedV2 + ReadU16(bytes, 14);
  if (total > kMaxProxyHeader) return Error("version 2 header is longer than 4096 bytes");
  const bool local = command == kLocal;
  const size_t addresses = AddressBytes(family);
  if (!local && total < kFixedV2 + addresses) return Error("version 2 header is too short for its addresses");
  if (bytes.size() < total) return {};

  const std::string_view header = bytes.substr(0, total);
  ProxyHeader result;
  result.version = 2;
  result.consumed = total;
  result.local = local;
  // What a LOCAL or UNSPEC header carries must be skipped, whatever it is.
  if (local || addresses == 0) return Done(result);
  if (const char* wrong = CheckExtensions(header, kFixedV2 + addresses)) return Error(wrong);
  if (family == 0x11) {
    result.source = ReadAddress(header, 16, 24, /*v6=*/false);
    result.destination = ReadAddress(header, 20, 26, /*v6=*/false);
  } else if (family == 0x21) {
    result.source = ReadAddress(header, 16, 48, /*v6=*/true);
    result.destination = ReadAddress(header, 32, 50, /*v6=*/true);
  }
  return Done(result);
}

}  // namespace

ProxyParseResult ParseProxyHeader(std::string_view bytes) {
  if (bytes.empty()) return {};
  if (SharesPrefix(bytes, kSignatureV1)) return ParseV1(bytes);
  if (SharesPrefix(bytes, kSignatureV2)) {
    if (bytes.size() < kSignatureV2.size()) return {};
    return ParseV2(bytes);
  }
  return Error("the connection does not start with a PROXY header");
}

}  // namespace portico::net
