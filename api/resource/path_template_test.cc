#include "api/resource/path_template.h"

#include <string>

#include "gtest/gtest.h"

namespace portico::api {
namespace {

using Kind = TemplateSegment::Kind;

TEST(PathTemplate, Parses) {
  EXPECT_EQ(*ParsePathTemplate("/users/{id}/files/{rest=**}"),
            (std::vector<TemplateSegment>{{Kind::kLiteral, "users"},
                                          {Kind::kVariable, "id"},
                                          {Kind::kLiteral, "files"},
                                          {Kind::kRest, "rest"}}));
  EXPECT_EQ(*ParsePathTemplate("/{a}"), (std::vector<TemplateSegment>{{Kind::kVariable, "a"}}));
  EXPECT_EQ(*ParsePathTemplate("/{a=**}"), (std::vector<TemplateSegment>{{Kind::kRest, "a"}}));
  EXPECT_EQ(ParsePathTemplate("/{a}/")->back(), (TemplateSegment{Kind::kLiteral, ""}));
  EXPECT_TRUE(ParsePathTemplate("/%7Bx%7D/{a}").ok());
}

TEST(PathTemplate, Refuses) {
  for (const std::string text :
       {"",        "users/{id}", "/users",  "/",        "/users/{}", "/{id",     "/id}",
        "/x{id}",  "/{id}x",     "/{a}{b}", "/{a}/{a}", "/{a=**}/b", "/{a=**}/", "/{a=*}",
        "/{=**}",  "/{1a}",      "/{a-b}",  "/*",       "/{a}/**",   "/{a}//b",  "/{a}?x=1",
        "/{a}/..", "/{a}/ ",     "/{a}/%2", "/{a}/%41", "/{{a}}"}) {
    EXPECT_FALSE(ParsePathTemplate(text).ok()) << text;
  }
  std::string deep;
  for (int i = 0; i < 65; ++i) deep += "/{a" + std::to_string(i) + "}";
  EXPECT_FALSE(ParsePathTemplate(deep).ok());
  EXPECT_FALSE(ParsePathTemplate("/{a}/" + std::string(1024, 'x')).ok());
}

TEST(CanonicalPath, AcceptsCanonicalPathsOnly) {
  for (const char* path :
       {"/", "/a", "/a/", "//a", "/a..b", "/...", "/a%2Fb", "/a%20b", "/*", "/a;b=c,d"}) {
    EXPECT_TRUE(CheckCanonicalPath(path).ok()) << path << ": " << CheckCanonicalPath(path);
  }
  const struct {
    const char* path;
    const char* message;
  } kCases[] = {
      {"", "does not start with \"/\"; put one in front"},
      {"a", "does not start with \"/\"; put one in front"},
      {"/a%2fb", "holds \"%2f\", but canonical paths use upper case; write \"%2F\""},
      {"/%7Euser", "holds \"%7E\", but canonical paths have it decoded; write \"~\""},
      {"/a/../b",
       "holds a dot segment, which canonical paths never have; write the path it leads to"},
  };
  for (const auto& c : kCases) EXPECT_EQ(CheckCanonicalPath(c.path).message(), c.message);
  for (const char* path :
       {"/a b", "/a\n", "/\xc3\xbc", "/a?b", "/a#b", "/a/.", "/%", "/%4", "/%zz", "/users/{id}"}) {
    EXPECT_FALSE(CheckCanonicalPath(path).ok()) << path;
  }
  EXPECT_FALSE(CheckCanonicalPath(std::string_view("/a\0", 3)).ok());
}

}  // namespace
}  // namespace portico::api
