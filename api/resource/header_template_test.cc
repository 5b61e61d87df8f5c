#include "api/resource/header_template.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::api {
namespace {

using ::testing::HasSubstr;

HeaderPart Literal(std::string text) { return {std::nullopt, std::move(text)}; }

TEST(HeaderTemplate, SplitsIntoParts) {
  absl::StatusOr<std::vector<HeaderPart>> parts =
      ParseHeaderTemplate("a$$b ${client.address};${request.header.X-Id}${claim.realm.tenant}");
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(*parts, (std::vector<HeaderPart>{Literal("a$b "),
                                             {HeaderVariable::kClientAddress, ""},
                                             Literal(";"),
                                             {HeaderVariable::kRequestHeader, "x-id"},
                                             {HeaderVariable::kClaim, "realm.tenant"}}));
  EXPECT_TRUE(ParseHeaderTemplate("")->empty());
  EXPECT_EQ(ParseHeaderTemplate("$$$$")->at(0), Literal("$$"));
}

TEST(HeaderTemplate, KnowsEveryVariable) {
  for (const char* text :
       {"${client.address}", "${request.id}", "${request.method}", "${request.path}",
        "${request.host}", "${request.header.a}", "${route.name}", "${upstream.name}",
        "${consumer.name}", "${consumer.plan}", "${claim.sub}"}) {
    absl::StatusOr<std::vector<HeaderPart>> parts = ParseHeaderTemplate(text);
    ASSERT_TRUE(parts.ok()) << text;
    EXPECT_TRUE(parts->at(0).variable.has_value()) << text;
  }
}

TEST(HeaderTemplate, Refuses) {
  for (const char* text :
       {"$", "a$", "$x", "${", "${client.address", "${}", "${claim.}", "${request.header.}",
        "${request.header.a b}", "${ client.address }", "${CLIENT.ADDRESS}"}) {
    EXPECT_FALSE(ParseHeaderTemplate(text).ok()) << text;
  }
  std::string many;
  for (int i = 0; i < 33; ++i) many += "${request.id}";
  EXPECT_FALSE(ParseHeaderTemplate(many).ok());
}

TEST(HeaderTemplate, NamesTheNearestAndAllKnown) {
  const std::string message(ParseHeaderTemplate("${client.adress}").status().message());
  EXPECT_THAT(message, HasSubstr("unknown variable \"${client.adress}\""));
  EXPECT_THAT(message, HasSubstr("did you mean \"${client.address}\"?"));
  EXPECT_THAT(message, HasSubstr("${request.header.NAME}"));
}

}  // namespace
}  // namespace portico::api
