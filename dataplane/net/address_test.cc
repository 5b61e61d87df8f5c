#include "dataplane/net/address.h"

#include <gtest/gtest.h>

#include <string>

namespace portico::net {
namespace {

TEST(IpAddressTest, Parses) {
  struct Case {
    std::string text, formatted;  // Formatted empty: an error.
  };
  const Case kCases[] = {
      {"0.0.0.0", "0.0.0.0"},
      {"192.0.2.1", "192.0.2.1"},
      {"255.255.255.255", "255.255.255.255"},
      {"::", "::"},
      {"::1", "::1"},
      {"2001:DB8::1", "2001:db8::1"},
      {"2001:db8:0:0:0:0:0:1", "2001:db8::1"},
      {"fe80:1111:2222:3333:4444:5555:6666:7777", "fe80:1111:2222:3333:4444:5555:6666:7777"},
      {"::ffff:192.0.2.1", "192.0.2.1"},
      {"::ffff:c000:201", "192.0.2.1"},
      {"", ""},
      {"1.2.3", ""},
      {"1.2.3.4.5", ""},
      {"1.2.3.256", ""},
      {"01.2.3.4", ""},
      {" 1.2.3.4", ""},
      {"1.2.3.4 ", ""},
      {"0x1.2.3.4", ""},
      {"[::1]", ""},
      {"fe80::1%eth0", ""},
      {"1:2:3", ""},
      {":::", ""},
      {std::string("1.2.3.4\0", 8), ""},
      {std::string(1000, ':'), ""},
      {"localhost", ""},
  };
  for (const Case& c : kCases) {
    const absl::StatusOr<IpAddress> ip = IpAddress::Parse(c.text);
    EXPECT_EQ(ip.ok() ? ip->ToString() : "", c.formatted) << c.text;
    if (!ip.ok()) {
      EXPECT_EQ(ip.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_NE(std::string(ip.status().message()).find(c.text), std::string::npos);
      continue;
    }
    char text[45];
    EXPECT_EQ(std::string(text, ip->Format(text)), c.formatted);
    sockaddr_storage storage;
    const SocketAddress address{*ip, 8080};
    address.ToSockaddr(storage);
    EXPECT_EQ(SocketAddress::FromSockaddr(storage), address);
  }
}

TEST(IpAddressTest, EveryByteIsWrittenInDigits) {
  for (int value = 0; value < 256; ++value) {
    const auto byte = static_cast<uint8_t>(value);
    const uint8_t bytes[4] = {byte, static_cast<uint8_t>(255 - value), 0, byte};
    const std::string number = std::to_string(value);
    EXPECT_EQ(IpAddress::FromBytes(bytes, /*v6=*/false).ToString(),
              number + "." + std::to_string(255 - value) + ".0." + number);
  }
}

TEST(IpAddressTest, MappedSockaddrIsIpv4) {
  sockaddr_storage storage = {};
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
  v6.sin6_addr.s6_addr[15] = 9;
  EXPECT_EQ(IpAddress::FromSockaddr(storage).ToString(), "0.0.0.9");
  storage.ss_family = AF_UNIX;
  EXPECT_EQ(IpAddress::FromSockaddr(storage), IpAddress());
}

TEST(SocketAddressTest, Parses) {
  struct Case {
    const char* text;
    bool ok;
  };
  const Case kCases[] = {
      {"1.2.3.4:80", true},    {"[::1]:80", true},      {"0.0.0.0:0", true},   {"[::]:65535", true},
      {"1.2.3.4", false},      {"1.2.3.4:", false},     {":80", false},        {"::1:80", false},
      {"1.2.3.4:65536", false}, {"1.2.3.4:080", false}, {"1.2.3.4:-1", false}, {"1.2.3.4:8 ", false},
      {"[1.2.3.4]:80", false}, {"[::1:80", false},      {"[]:80", false},      {"", false},
      {"1.2.3.4:999999999999999999999", false},
  };
  for (const Case& c : kCases) {
    const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(c.text);
    EXPECT_EQ(address.ok(), c.ok) << c.text;
    if (address.ok()) {
      EXPECT_EQ(address->ToString(), c.text);
    }
  }
}

TEST(CidrRangeTest, Parses) {
  struct Case {
    const char* text;
    const char* base;  // nullptr: an error.
    int bits;
  };
  const Case kCases[] = {
      {"10.0.0.0/8", "10.0.0.0", 8},
      {"10.1.2.3/8", "10.0.0.0", 8},
      {"10.1.2.3/31", "10.1.2.2", 31},
      {"0.0.0.0/0", "0.0.0.0", 0},
      {"192.0.2.1", "192.0.2.1", 32},
      {"2001:db8::/32", "2001:db8::", 32},
      {"2001:db8::ffff/127", "2001:db8::fffe", 127},
      {"::/0", "::", 0},
      {"::1", "::1", 128},
      {"::ffff:10.0.0.0/104", "10.0.0.0", 8},
      {"::ffff:10.0.0.0/8", nullptr, 0},
      {"10.0.0.0/33", nullptr, 0},
      {"::/129", nullptr, 0},
      {"10.0.0.0/", nullptr, 0},
      {"10.0.0.0/-1", nullptr, 0},
      {"10.0.0.0/08", nullptr, 0},
      {"/8", nullptr, 0},
      {"", nullptr, 0},
      {"10.0.0.0/8/8", nullptr, 0},
  };
  for (const Case& c : kCases) {
    const absl::StatusOr<CidrRange> range = CidrRange::Parse(c.text);
    ASSERT_EQ(range.ok(), c.base != nullptr) << c.text;
    if (!range.ok()) continue;
    EXPECT_EQ(range->base.ToString(), c.base) << c.text;
    EXPECT_EQ(range->bits, c.bits) << c.text;
  }
}

TEST(CidrRangeTest, Contains) {
  struct Case {
    const char* range;
    const char* ip;
    bool inside;
  };
  const Case kCases[] = {
      {"10.0.0.0/8", "10.255.0.1", true},    {"10.0.0.0/8", "11.0.0.1", false},
      {"192.0.2.128/25", "192.0.2.128", true}, {"192.0.2.128/25", "192.0.2.127", false},
      {"0.0.0.0/0", "203.0.113.9", true},    {"0.0.0.0/0", "::1", false},
      {"::/0", "::1", true},                 {"::/0", "10.0.0.1", false},
      {"192.0.2.1/32", "192.0.2.1", true},   {"192.0.2.1/32", "192.0.2.2", false},
      {"2001:db8::/33", "2001:db8:7fff::", true}, {"2001:db8::/33", "2001:db8:8000::", false},
      {"10.0.0.0/8", "::ffff:10.1.1.1", true},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(CidrRange::Parse(c.range)->Contains(*IpAddress::Parse(c.ip)), c.inside) << c.range << " " << c.ip;
  }
}

}  // namespace
}  // namespace portico::net
