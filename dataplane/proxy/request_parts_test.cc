#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "dataplane/proxy/grpc_web.h"
#include "dataplane/proxy/hop_headers.h"
#include "dataplane/proxy/local_reply.h"
#include "dataplane/proxy/request_id.h"
#include "dataplane/proxy/rewrite.h"

namespace portico::proxy {
namespace {

using http::HeaderId;

constexpr uint64_t kSeed[4] = {7, 7, 7, 7};

net::IpAddress Ip(std::string_view text) { return net::IpAddress::Parse(text).value(); }

TEST(RequestIdTest, IsARandomUuidOfVersion4) {
  upstream::Random random(kSeed);
  base::Arena arena;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id(MakeRequestId(random, arena));
    ASSERT_EQ(id.size(), 36u);
    EXPECT_EQ(id[8], '-');
    EXPECT_EQ(id[13], '-');
    EXPECT_EQ(id[14], '4');
    EXPECT_EQ(id[18], '-');
    EXPECT_NE(std::string("89ab").find(id[19]), std::string::npos) << id;
    EXPECT_EQ(id[23], '-');
    EXPECT_TRUE(IsUsableRequestId(id));
    EXPECT_TRUE(seen.insert(id).second);
  }
}

TEST(RequestIdTest, DigitsAreThoseOfTheNumbers) {
  upstream::Random random(kSeed), same(kSeed);
  base::Arena arena;
  char expected[64];
  for (int i = 0; i < 1000; ++i) {
    const uint64_t high = same.Next(), low = same.Next();
    std::snprintf(expected, sizeof(expected), "%08x-%04x-4%03x-%04x-%012llx",
                  static_cast<unsigned>(high >> 32), static_cast<unsigned>(high >> 16 & 0xffff),
                  static_cast<unsigned>(high & 0xfff),
                  static_cast<unsigned>((low >> 48 & 0x3fff) | 0x8000),
                  static_cast<unsigned long long>(low & 0xffffffffffff));
    EXPECT_EQ(MakeRequestId(random, arena), expected);
    const unsigned long long trace = same.Next(), rest = same.Next() | 1, parent = same.Next() | 1;
    std::snprintf(expected, sizeof(expected), "00-%016llx%016llx-%016llx-01", trace, rest, parent);
    EXPECT_EQ(MakeTraceparent(random, arena), expected);
  }
}

TEST(HopHeadersTest, ClientCertificateIsWhatWasProven) {
  upstream::Random random(kSeed);
  const std::vector<net::CidrRange> trusted = {*net::CidrRange::Parse("10.0.0.0/8")};
  net::TlsInfo anonymous, proven;
  proven.has_peer_certificate = true;
  proven.peer_certificate = {"ab12", "CN=a \"b\\\\,O=c", {"x.example.com"}, {"spiffe://a/b;c"}};
  struct Case {
    const char* peer;
    const net::TlsInfo* tls;
    const char* expected;
  };
  const std::string value =
      "Hash=ab12;Subject=\"CN=a \\\"b\\\\\\\\,O=c\";URI=\"spiffe://a/b;c\";DNS=x.example.com";
  const Case cases[] = {
      {"192.0.2.1", nullptr, ""},
      {"10.0.0.1", nullptr, "Hash=forged"},
      {"192.0.2.1", &anonymous, ""},
      {"10.0.0.1", &anonymous, "Hash=forged"},
      {"192.0.2.1", &proven, value.c_str()},
      {"10.0.0.1", &proven, value.c_str()},
  };
  for (const Case& c : cases) {
    base::Arena arena;
    http::RequestHead request(arena);
    request.headers.Add("X-Forwarded-Client-Cert", "Hash=forged");
    request.headers.Add("x-other", "1");
    SetHopHeaders(request, Hop{Ip(c.peer), c.tls != nullptr, trusted, c.tls}, random);
    std::string found;
    for (const http::HeaderField& field : request.headers) {
      if (http::EqualsIgnoreCase(field.name, "x-forwarded-client-cert")) found += field.value;
    }
    EXPECT_EQ(found, c.expected) << c.peer;
    EXPECT_NE(request.headers.Find("x-other"), nullptr);
  }
}

TEST(HopHeadersTest, ClientCertificatesDoNotFillTheHead) {
  base::Arena arena;
  net::PeerCertificate certificate;
  certificate.fingerprint = "ab";
  for (int i = 0; i < 10000; ++i)
    certificate.uris.push_back("spiffe://example/" + std::to_string(i));
  const std::string_view value = ClientCertificateValue(certificate, arena);
  EXPECT_GT(value.size(), 4000u);
  EXPECT_LE(value.size(), 8192u);
}

TEST(HopHeadersTest, MisdirectedRequests) {
  struct Table final : net::ClientAuthenticationTable {
    int ClientAuthenticationFor(std::string_view host) const override {
      return host == "admin" ? 1 : 0;
    }
  } table;
  base::Arena arena;
  http::RequestHead request(arena);
  net::TlsInfo tls;
  request.host = "admin";
  EXPECT_FALSE(IsMisdirected(request, tls));
  tls.authentications = &table;
  EXPECT_TRUE(IsMisdirected(request, tls));
  tls.client_authentication = 1;
  EXPECT_FALSE(IsMisdirected(request, tls));
  request.host = "";
  EXPECT_TRUE(IsMisdirected(request, tls));
}

TEST(RequestIdTest, UsableIdsAreShortAndPlain) {
  EXPECT_TRUE(IsUsableRequestId("a"));
  EXPECT_TRUE(IsUsableRequestId("Root=1-67891233-abcdef012345678912345678"));
  EXPECT_TRUE(IsUsableRequestId(std::string(128, 'x')));
  for (const std::string& bad :
       {std::string(), std::string(129, 'x'), std::string("a b"), std::string("a\"b"),
        std::string("a\nb"), std::string("\xc3\xa4")}) {
    EXPECT_FALSE(IsUsableRequestId(bad)) << bad;
  }
}

TEST(TraceparentTest, MadeOnesAreValidAndBadOnesAreNot) {
  upstream::Random random(kSeed);
  base::Arena arena;
  EXPECT_TRUE(IsValidTraceparent(MakeTraceparent(random, arena)));
  EXPECT_TRUE(IsValidTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
  for (const char* bad : {"", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
                          "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                          "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                          "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736x00f067aa0ba902b7-01"}) {
    EXPECT_FALSE(IsValidTraceparent(bad)) << bad;
  }
}

struct ClientCase {
  const char* peer;
  std::vector<const char*> forwarded_for;
  const char* want;
};

TEST(HopHeadersTest, ClientIsTheNearestUntrustedAddress) {
  const std::vector<net::CidrRange> trusted = {net::CidrRange::Parse("10.0.0.0/8").value(),
                                               net::CidrRange::Parse("fd00::/8").value()};
  const ClientCase cases[] = {
      {"192.0.2.1", {}, "192.0.2.1"},
      {"192.0.2.1", {"203.0.113.9"}, "192.0.2.1"},  // Untrusted peers are not believed.
      {"10.0.0.1", {}, "10.0.0.1"},
      {"10.0.0.1", {"203.0.113.9"}, "203.0.113.9"},
      {"10.0.0.1", {"198.51.100.7, 203.0.113.9"}, "203.0.113.9"},
      {"10.0.0.1", {"198.51.100.7, 203.0.113.9 , 10.1.2.3"}, "203.0.113.9"},
      {"10.0.0.1", {"203.0.113.9", "10.1.2.3,10.9.9.9"}, "203.0.113.9"},
      {"10.0.0.1", {"10.2.2.2, 10.1.2.3"}, "10.2.2.2"},  // All trusted: the farthest.
      {"10.0.0.1", {"203.0.113.9, unknown"}, "10.0.0.1"},
      {"fd00::1", {"2001:db8::5"}, "2001:db8::5"},
  };
  for (const ClientCase& test : cases) {
    base::Arena arena;
    http::RequestHead request(arena);
    for (const char* value : test.forwarded_for) {
      request.headers.Add(HeaderId::kXForwardedFor, value);
    }
    const Hop hop{Ip(test.peer), false, trusted};
    EXPECT_EQ(ClientAddress(request, hop).ToString(), test.want) << test.peer;
  }
}

TEST(HopHeadersTest, UntrustedClaimsAreReplacedAndTrustedOnesContinued) {
  upstream::Random random(kSeed);
  const std::vector<net::CidrRange> trusted = {net::CidrRange::Parse("10.0.0.0/8").value()};
  for (const bool from_trusted : {false, true}) {
    base::Arena arena;
    http::RequestHead request(arena);
    request.headers.Add(HeaderId::kXForwardedFor, "203.0.113.9");
    request.headers.Add(HeaderId::kXForwardedProto, "https");
    request.headers.Add(HeaderId::kXForwardedHost, "evil.example");
    request.headers.Add(HeaderId::kForwarded, "for=1.1.1.1");
    request.headers.Add(HeaderId::kXRequestId, "given-id");
    request.headers.Add(HeaderId::kTraceparent, "nonsense");
    request.headers.Add(HeaderId::kTracestate, "a=b");
    const Hop hop{Ip(from_trusted ? "10.0.0.1" : "192.0.2.1"), false, trusted};
    const std::string_view id = SetRequestId(request, hop, random);
    SetHopHeaders(request, hop, random);
    EXPECT_EQ(id == "given-id", from_trusted);
    EXPECT_EQ(request.headers.Find(HeaderId::kXRequestId)->value, id);
    EXPECT_EQ(request.headers.Find(HeaderId::kXForwardedFor)->value,
              from_trusted ? "203.0.113.9, 10.0.0.1" : "192.0.2.1");
    EXPECT_EQ(request.headers.Count(HeaderId::kXForwardedFor), 1u);
    EXPECT_EQ(request.headers.Find(HeaderId::kXForwardedProto)->value,
              from_trusted ? "https" : "http");
    EXPECT_EQ(request.headers.Find(HeaderId::kXForwardedHost) != nullptr, from_trusted);
    EXPECT_EQ(request.headers.Find(HeaderId::kForwarded) != nullptr, from_trusted);
    EXPECT_TRUE(IsValidTraceparent(request.headers.Find(HeaderId::kTraceparent)->value));
    EXPECT_EQ(request.headers.Find(HeaderId::kTracestate), nullptr);
  }
}

TEST(HopHeadersTest, AValidTraceIsContinued) {
  upstream::Random random(kSeed);
  base::Arena arena;
  http::RequestHead request(arena);
  const char* trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  request.headers.Add(HeaderId::kTraceparent, trace);
  request.headers.Add(HeaderId::kTracestate, "a=b");
  SetHopHeaders(request, Hop{Ip("192.0.2.1"), true, {}}, random);
  EXPECT_EQ(request.headers.Find(HeaderId::kTraceparent)->value, trace);
  EXPECT_EQ(request.headers.Find(HeaderId::kTracestate)->value, "a=b");
  EXPECT_EQ(request.headers.Find(HeaderId::kXForwardedProto)->value, "https");
}

TEST(RewriteTest, PrefixIsReplacedBySegments) {
  struct Case {
    const char *path, *match, *replacement, *want;
  };
  const Case cases[] = {
      {"/api/x", "/api", "/internal", "/internal/x"},
      {"/api", "/api", "/internal", "/internal"},
      {"/api/", "/api", "/internal", "/internal/"},
      {"/api/x", "/api", "/", "/x"},
      {"/api", "/api", "/", "/"},
      {"/x/y", "/", "/v1", "/v1/x/y"},
      {"/", "/", "/v1", "/v1/"},
      {"/api/x", "/api/", "/v1/", "/v1/x"},
      {"/api/x", "/api", "/a/b/", "/a/b/x"},
      {"/", "/", "/", "/"},
  };
  for (const Case& test : cases) {
    base::Arena arena;
    EXPECT_EQ(ReplacePrefix(test.path, test.match, test.replacement, arena), test.want)
        << test.path << " " << test.match << " " << test.replacement;
  }
}

TEST(RewriteTest, PathAndHostAreReplacedAsTheRouteSays) {
  base::Arena arena;
  http::RequestHead request(arena);
  request.path = "/api/x";
  request.authority = "api.example.com";
  snapshot::RouteEntry route;
  RewriteRequest(request, route);
  EXPECT_EQ(request.path, "/api/x");
  EXPECT_EQ(request.authority, "api.example.com");
  auto details = std::make_shared<snapshot::RouteDetails>();
  details->has_rewrite_prefix = true;
  details->match_prefix = "/api";
  details->rewrite_prefix = "/internal";
  details->rewrite_host = "internal:8080";
  route.details = details;
  route.has_rewrite = true;
  RewriteRequest(request, route);
  EXPECT_EQ(request.path, "/internal/x");
  EXPECT_EQ(request.authority, "internal:8080");
}

TEST(LocalReplyTest, IsJsonThatNamesItsReason) {
  base::Arena arena;
  const RenderedReply reply =
      RenderLocalReply({404, "no_route", "no \"route\"\n"}, Grpc::kNone, "id-1", arena);
  EXPECT_EQ(reply.head.status, 404);
  EXPECT_EQ(reply.body,
            "{\"error\": \"no \\\"route\\\"\\u000a\", \"reason\": \"no_route\", "
            "\"request_id\": \"id-1\"}\n");
  EXPECT_EQ(reply.head.content_length, reply.body.size());
  EXPECT_EQ(reply.head.headers.Find(HeaderId::kContentType)->value, "application/json");
  EXPECT_EQ(reply.head.headers.Find(HeaderId::kXRequestId)->value, "id-1");
}

TEST(LocalReplyTest, GrpcClientsGetAGrpcStatus) {
  base::Arena arena;
  const snapshot::LocalReply limited{429, "rate_limited", "50% too many"};
  const RenderedReply reply = RenderLocalReply(limited, Grpc::kGrpc, "id", arena);
  EXPECT_EQ(reply.head.status, 200);
  // Only a head, which is what gRPC calls trailers only.
  EXPECT_EQ(reply.head.body, http::BodyKind::kNone);
  EXPECT_TRUE(reply.body.empty());
  EXPECT_EQ(reply.head.headers.Find(HeaderId::kContentType)->value, "application/grpc");
  EXPECT_EQ(reply.head.headers.Find(HeaderId::kGrpcStatus)->value, "8");
  EXPECT_EQ(reply.head.headers.Find("grpc-message")->value, "rate_limited: 50%25 too many");
  EXPECT_EQ(reply.head.headers.Find(HeaderId::kXRequestId)->value, "id");
}

TEST(LocalReplyTest, GrpcWebClientsGetATrailerFrame) {
  base::Arena arena;
  const snapshot::LocalReply limited{429, "rate_limited", "no"};
  const std::string fields = "grpc-status:8\r\ngrpc-message:rate_limited: no\r\n";
  const std::string frame =
      std::string("\x80\0\0\0", 4) + static_cast<char>(fields.size()) + fields;
  for (const bool text : {false, true}) {
    const RenderedReply reply =
        RenderLocalReply(limited, text ? Grpc::kWebText : Grpc::kWeb, "id", arena);
    EXPECT_EQ(reply.head.status, 200);
    EXPECT_EQ(reply.head.headers.Find(HeaderId::kContentType)->value,
              text ? "application/grpc-web-text+proto" : "application/grpc-web+proto");
    EXPECT_EQ(reply.head.headers.Find(HeaderId::kGrpcStatus), nullptr);
    EXPECT_EQ(reply.body, text ? EncodeBase64(frame, arena) : std::string_view(frame));
    EXPECT_EQ(reply.head.content_length, reply.body.size());
  }
}

TEST(LocalReplyTest, GrpcStatusTable) {
  const std::pair<int, int> table[] = {{400, 13}, {401, 16}, {403, 7}, {404, 12}, {408, 4},
                                       {413, 8},  {421, 2},  {429, 8}, {431, 8},  {500, 2},
                                       {502, 14}, {503, 14}, {504, 4}};
  for (const auto& [status, want] : table) EXPECT_EQ(GrpcStatusFor(status), want) << status;
}

}  // namespace
}  // namespace portico::proxy
