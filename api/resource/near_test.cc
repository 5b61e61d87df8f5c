#include "api/resource/near.h"

#include <string>

#include "gtest/gtest.h"

namespace portico::api {
namespace {

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string> names = {"users", "orders", "products", "payments", "prefix"};
  EXPECT_EQ(Nearest("user", names), "users");
  EXPECT_EQ(Nearest("Users", names), "users");
  EXPECT_EQ(Nearest("usres", names), "users");
  EXPECT_EQ(Nearest("prefx", names), "prefix");
  EXPECT_EQ(Nearest("paymets", names), "payments");
  EXPECT_EQ(Nearest("zzz", names), "");
  EXPECT_EQ(Nearest("", names), "");
  EXPECT_EQ(Nearest("a", {"b"}), "");
  EXPECT_EQ(Nearest("ab", {"ac", "ad"}), "ac");
  EXPECT_EQ(Nearest(std::string(500, 'a'), {std::string(127, 'a')}), std::string(127, 'a'));
}

}  // namespace
}  // namespace portico::api
