#include "api/resource/address.h"

#include "gtest/gtest.h"

namespace portico::api {
namespace {

TEST(ParseSocketAddress, RoundTrips) {
  for (const char* text :
       {"10.0.0.7:8080", "0.0.0.0:0", "[fd00::7]:8080", "[::]:65535", "[::1]:1"}) {
    absl::StatusOr<SocketAddress> address = ParseSocketAddress(text);
    ASSERT_TRUE(address.ok()) << text << ": " << address.status();
    EXPECT_EQ(ToString(*address), text);
  }
}

TEST(ParseSocketAddress, Refuses) {
  for (const char* text : {"",
                           ":",
                           ":80",
                           "10.0.0.7",
                           "10.0.0.7:",
                           "10.0.0.7:65536",
                           "10.0.0.7:080",
                           "10.0.0.7:+80",
                           "10.0.0.7:80 ",
                           " 10.0.0.7:80",
                           "10.0.0.256:80",
                           "10.0.7:80",
                           "010.0.0.7:80",
                           "fd00::7:80",
                           "[10.0.0.7]:80",
                           "[fd00::7]80",
                           "[]:80",
                           "[fd00::7:80",
                           "localhost:80",
                           "fe80::1%lo:80",
                           "10.0.0.7:99999999999"}) {
    EXPECT_FALSE(ParseSocketAddress(text).ok()) << text;
  }
  EXPECT_FALSE(ParseSocketAddress(std::string_view("1.2.3.4\0:80", 11)).ok());
}

TEST(ParseCidr, RoundTripsAndContains) {
  absl::StatusOr<Cidr> ten = ParseCidr("10.0.0.0/8");
  ASSERT_TRUE(ten.ok());
  EXPECT_EQ(ToString(*ten), "10.0.0.0/8");
  EXPECT_TRUE(ten->Contains(*ParseIpAddress("10.255.0.1")));
  EXPECT_FALSE(ten->Contains(*ParseIpAddress("11.0.0.1")));
  EXPECT_FALSE(ten->Contains(*ParseIpAddress("a00::1")));
  EXPECT_TRUE(ParseCidr("0.0.0.0/0")->Contains(*ParseIpAddress("203.0.113.9")));
  EXPECT_TRUE(ParseCidr("fd00::/13")->Contains(*ParseIpAddress("fd07::1")));
  EXPECT_FALSE(ParseCidr("fd00::/13")->Contains(*ParseIpAddress("fd08::1")));
  EXPECT_TRUE(ParseCidr("::1/128")->Contains(*ParseIpAddress("::1")));
}

TEST(ParseCidr, Refuses) {
  for (const char* text : {"", "/8", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/",
                           "10.0.0.0/08", "::/129", "10.0.0.0/8/8", "example.com/8"}) {
    EXPECT_FALSE(ParseCidr(text).ok()) << text;
  }
  EXPECT_EQ(ParseCidr("10.1.2.3/8").status().message(),
            "has bits set after its prefix; write \"10.0.0.0/8\"");
}

}  // namespace
}  // namespace portico::api
