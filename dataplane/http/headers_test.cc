#include "dataplane/http/headers.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"

namespace portico::http {
namespace {

TEST(Headers, EveryInternedNameIsFoundInAnyCase) {
  for (int i = 1; i < static_cast<int>(HeaderId::kCount); ++i) {
    const auto id = static_cast<HeaderId>(i);
    std::string name(HeaderName(id));
    ASSERT_FALSE(name.empty());
    EXPECT_EQ(LookUpHeader(name), id) << name;
    for (char& c : name) c = static_cast<char>(std::toupper(c));
    EXPECT_EQ(LookUpHeader(name), id) << name;
    name.back() = '!';
    EXPECT_EQ(LookUpHeader(name), HeaderId::kOther) << name;
  }
}

TEST(Headers, OtherNamesAreNotMistaken) {
  // "Cookie" with the bytes that differ from letters only in the case bit.
  for (const char* name : {"", "x", "hos", "hosts", "h_st", "content-lengtH2", "content_length", "coo\x4bie\x1f",
                           "x-request-i\x44 ", "\x00te", "accept\r"}) {
    EXPECT_EQ(LookUpHeader(name), HeaderId::kOther) << name;
  }
}

TEST(Headers, ListAddsSetsRemovesAndGrows) {
  base::Arena arena;
  HeaderList list(arena);
  list.Add("X-A", "1");
  list.Add(HeaderId::kHost, "h");
  list.Add("x-a", "2");
  ASSERT_NE(list.Find("x-A"), nullptr);
  EXPECT_EQ(list.Find("X-a")->value, "1");
  list.Set("X-A", "3");
  EXPECT_EQ(list.Find("x-a")->value, "3");
  EXPECT_EQ(list.Remove("X-A"), 1u);
  EXPECT_EQ(list.Find("x-a"), nullptr);
  list.Set("Host", "g");
  EXPECT_EQ(list.Count(HeaderId::kHost), 1u);
  EXPECT_EQ(list.Find(HeaderId::kHost)->value, "g");
  EXPECT_EQ(list.Remove("HOST"), 1u);
  EXPECT_EQ(list.Remove(""), 0u);
  EXPECT_EQ(list.Find(HeaderId::kHost), nullptr);
  for (int i = 0; i < 200; ++i) list.Add("y", "v");
  size_t seen = 0;
  for (const HeaderField& field : list) seen += field.name == "y";
  EXPECT_EQ(seen, 200u);
  list.Set("new", "n");
  EXPECT_EQ(list.Find("NEW")->value, "n");
}

TEST(Message, Methods) {
  EXPECT_EQ(LookUpMethod("GET"), Method::kGet);
  EXPECT_EQ(LookUpMethod("get"), Method::kOther);
  EXPECT_EQ(LookUpMethod("QUERY"), Method::kOther);
  EXPECT_EQ(LookUpMethod("OPTIONS"), Method::kOptions);
  EXPECT_TRUE(IsIdempotent(Method::kPut));
  EXPECT_FALSE(IsIdempotent(Method::kPost));
  EXPECT_FALSE(IsIdempotent(Method::kOther));
  EXPECT_EQ(ReasonPhrase(429), "Too Many Requests");
  EXPECT_EQ(ReasonPhrase(599), "Unknown");
}

}  // namespace
}  // namespace portico::http
