#include "api/resource/http_syntax.h"

#include "gtest/gtest.h"

namespace portico::api {
namespace {

TEST(HttpSyntax, Tokens) {
  for (const char* text : {"x", "X-Request-Id", "GET", "a!#$%&'*+-.^_`|~9"})
    EXPECT_TRUE(IsToken(text));
  for (const char* text : {"", "a b", "a:", "a\r", "\xc3\xbc", "a/b", "(a)", "\"a\""}) {
    EXPECT_FALSE(IsToken(text)) << text;
  }
}

TEST(HttpSyntax, FieldValues) {
  for (const char* text : {"", "a", "a b", "a\tb", "\xc3\xbc"}) EXPECT_TRUE(IsFieldValue(text));
  for (const char* text : {" a", "a ", "\ta", "a\r\nb: c", "a\n", "\x7f", "\x01"}) {
    EXPECT_FALSE(IsFieldValue(text)) << text;
  }
  EXPECT_FALSE(IsFieldValue(std::string_view("a\0b", 3)));
}

TEST(HttpSyntax, ReservedFields) {
  for (const char* name :
       {"Host", "content-length", "TRANSFER-ENCODING", "te", ":path", "Connection"}) {
    EXPECT_TRUE(IsReservedField(name)) << name;
  }
  for (const char* name : {"x-host", "authorization", "cookie", "date", ""}) {
    EXPECT_FALSE(IsReservedField(name)) << name;
  }
}

}  // namespace
}  // namespace portico::api
