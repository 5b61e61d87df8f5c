#include "dataplane/http/path.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "dataplane/base/arena.h"

namespace portico::http {
namespace {

struct PathCase {
  std::string_view raw;
  std::string_view path;   // Expected, unless there is an error.
  std::string_view error;
};

TEST(Path, Canonical) {
  using namespace std::string_view_literals;
  const PathCase cases[] = {
      {"/", "/", ""},
      {"/a/b", "/a/b", ""},
      {"/a/b/", "/a/b/", ""},
      {"//a//b", "//a//b", ""},
      {"/a/./b", "/a/b", ""},
      {"/a/../b", "/b", ""},
      {"/a/b/..", "/a/", ""},
      {"/a/b/.", "/a/b/", ""},
      {"/..", "/", ""},
      {"/.", "/", ""},
      {"/../../etc/passwd", "/etc/passwd", ""},
      {"/a//../b", "/a/b", ""},
      {"/a/b/c/../../d", "/a/d", ""},
      {"/a/%2e%2e/b", "/b", ""},
      {"/a/%2E/b", "/a/b", ""},
      {"/a/.%2e/b", "/b", ""},
      {"/...", "/...", ""},
      {"/.a", "/.a", ""},
      {"/a../b", "/a../b", ""},
      {"/..a", "/..a", ""},
      {"/%61dmin", "/admin", ""},
      {"/%7Euser", "/~user", ""},
      {"/a%2fb", "/a%2Fb", ""},
      {"/a%2Fb", "/a%2Fb", ""},
      {"/a%2f..%2fb", "/a%2F..%2Fb", ""},
      {"/a%5cb", "/a%5Cb", ""},
      {"/a%20b", "/a%20b", ""},
      {"/a%c3%a4", "/a%C3%A4", ""},
      {"/a\xc3\xa4", "/a%C3%A4", ""},
      {"/{id}", "/%7Bid%7D", ""},
      {"/a|b\"c<d>e^f`g[h]", "/a%7Cb%22c%3Cd%3Ee%5Ef%60g%5Bh%5D", ""},
      {"/a;p=1,2@x:y!$&'()*+=", "/a;p=1,2@x:y!$&'()*+=", ""},
      {"/%252e%252e/x", "/%252e%252e/x", ""},
      {"/%25", "/%25", ""},
      {"/a%00b", "", "invalid_path"},
      {"/a\\b", "", "invalid_path"},
      {"/a#b", "", "invalid_path"},
      {"/a b", "", "invalid_path"},
      {"/a\tb", "", "invalid_path"},
      {"/a\x7f", "", "invalid_path"},
      {"/a\0b"sv, "", "invalid_path"},
      {"", "", "invalid_path"},
      {"a", "", "invalid_path"},
      {"/%", "", "invalid_percent_encoding"},
      {"/%2", "", "invalid_percent_encoding"},
      {"/%2g", "", "invalid_percent_encoding"},
      {"/%%41", "", "invalid_percent_encoding"},
      {"/%u0041", "", "invalid_percent_encoding"},
  };
  for (const PathCase& c : cases) {
    SCOPED_TRACE(c.raw);
    base::Arena arena;
    std::string_view path;
    ASSERT_EQ(CanonicalizePath(c.raw, arena, path), c.error);
    if (!c.error.empty()) continue;
    EXPECT_EQ(path, c.path);
    EXPECT_TRUE(IsCanonicalPath(path));
    EXPECT_EQ(IsCanonicalPath(c.raw), c.raw == c.path);
    // No copy of what is canonical.
    EXPECT_EQ(path.data() == c.raw.data(), c.raw == c.path);
    EXPECT_EQ(arena.bytes_used() == 0, c.raw == c.path);
  }
}

TEST(Path, ShortStringsEndInFixedPoints) {
  static constexpr char kAlphabet[] = {'/', '.', '%', '2', 'e', 'f'};
  for (int n = 0; n < 6 * 6 * 6 * 6 * 6 * 6; ++n) {
    std::string raw = "/";
    for (int i = 0, rest = n; i < 6; ++i, rest /= 6) raw += kAlphabet[rest % 6];
    base::Arena arena;
    std::string_view path;
    if (!CanonicalizePath(raw, arena, path).empty()) continue;
    std::string_view again;
    ASSERT_EQ(CanonicalizePath(path, arena, again), "") << raw;
    ASSERT_EQ(path, again) << raw;
    ASSERT_EQ(path.find("/../"), std::string_view::npos) << raw;
    ASSERT_EQ(path.substr(0, 1), "/") << raw;
  }
}

struct AuthorityCase {
  std::string_view raw;
  std::string_view authority;
  std::string_view host;  // Empty: an error.
};

TEST(Path, Authority) {
  const AuthorityCase cases[] = {
      {"example.com", "example.com", "example.com"},
      {"Example.COM:8080", "example.com:8080", "example.com"},
      {"a_b.c-d~e", "a_b.c-d~e", "a_b.c-d~e"},
      {"127.0.0.1:80", "127.0.0.1:80", "127.0.0.1"},
      {"[::1]", "[::1]", "[::1]"},
      {"[2001:DB8::1]:443", "[2001:db8::1]:443", "[2001:db8::1]"},
      {"a:", "a:", "a"},
      {"Example.com.", "example.com.", "example.com"},
      {"example.com.:80", "example.com.:80", "example.com"},
      {".", ".", "."},
      {"a:65535", "a:65535", "a"},
      {"", "", ""},
      {":80", "", ""},
      {"a:65536", "", ""},
      {"a:99999999999", "", ""},
      {"a:b", "", ""},
      {"a:80:80", "", ""},
      {"a b", "", ""},
      {"a,b", "", ""},
      {"a/b", "", ""},
      {"a@b", "", ""},
      {"user:pw@b", "", ""},
      {"a?b", "", ""},
      {"a#b", "", ""},
      {"a\\b", "", ""},
      {"a%41", "", ""},
      {"[::1", "", ""},
      {"[]", "", ""},
      {"[", "", ""},
      {"[g::1]", "", ""},
      {"[::1]x", "", ""},
      {"[::1%25eth0]", "", ""},
      {"\xc3\xa4.com", "", ""},
  };
  for (const AuthorityCase& c : cases) {
    SCOPED_TRACE(c.raw);
    base::Arena arena;
    std::string_view authority, host;
    ASSERT_EQ(ParseAuthority(c.raw, arena, authority, host), c.host.empty() ? "invalid_host" : "");
    if (c.host.empty()) continue;
    EXPECT_EQ(authority, c.authority);
    EXPECT_EQ(host, c.host);
  }
}

struct TargetCase {
  Method method;
  std::string_view raw;
  std::string_view error;
  std::string_view target, path, query, authority;
};

TEST(Path, Target) {
  const TargetCase cases[] = {
      {Method::kGet, "/a?b=1", "", "/a?b=1", "/a", "b=1", ""},
      {Method::kGet, "/a?b=/../%zz?c", "", "/a?b=/../%zz?c", "/a", "b=/../%zz?c", ""},
      {Method::kGet, "/a?", "", "/a?", "/a", "", ""},
      {Method::kGet, "http://Host:81/x/../y?q", "", "/x/../y?q", "/y", "q", "host:81"},
      {Method::kGet, "HTTPS://h", "", "/", "/", "", "h"},
      {Method::kGet, "http://h?q=1", "", "/?q=1", "/", "q=1", "h"},
      {Method::kOptions, "*", "", "*", "*", "", ""},
      {Method::kOptions, "http://h", "", "*", "*", "", "h"},
      {Method::kGet, "*", "invalid_target", "", "", "", ""},
      {Method::kOptions, "**", "invalid_target", "", "", "", ""},
      {Method::kGet, "a", "invalid_target", "", "", "", ""},
      {Method::kGet, "h:80", "invalid_target", "", "", "", ""},
      {Method::kGet, "://h/", "invalid_target", "", "", "", ""},
      {Method::kGet, "ftp://h/", "invalid_scheme", "", "", "", ""},
      {Method::kGet, "http:///x", "invalid_host", "", "", "", ""},
      {Method::kGet, "http://u@h/x", "invalid_host", "", "", "", ""},
      {Method::kGet, "http://u:p@h/x", "invalid_host", "", "", "", ""},
      {Method::kGet, "http://h\\@evil/", "invalid_host", "", "", "", ""},
      {Method::kGet, "/a?b#c", "invalid_target", "", "", "", ""},
      {Method::kGet, "/a?b\x01", "invalid_target", "", "", "", ""},
      {Method::kGet, "/a%2", "invalid_percent_encoding", "", "", "", ""},
  };
  for (const TargetCase& c : cases) {
    SCOPED_TRACE(c.raw);
    base::Arena arena;
    RequestHead head(arena);
    head.method = c.method;
    ASSERT_EQ(ParseTarget(c.raw, head), c.error);
    if (!c.error.empty()) continue;
    EXPECT_EQ(head.target, c.target);
    EXPECT_EQ(head.path, c.path);
    EXPECT_EQ(head.query, c.query);
    EXPECT_EQ(head.has_query, c.raw.find('?') != std::string_view::npos);
    EXPECT_EQ(head.authority, c.authority);
  }
}

}  // namespace
}  // namespace portico::http
