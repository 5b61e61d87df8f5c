// TLS contexts in entries: made anew when something that they are made of changes, and shared
// otherwise.
#include <string>
#include <utility>
#include <vector>

#include "api/resource/test_certificates.h"
#include "dataplane/base/fake_clock.h"
#include "dataplane/snapshot/snapshot.h"
#include "dataplane/tls/server_context.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::snapshot {
namespace {

using testing::HasSubstr;

v1::Resource Certificate(const std::string& name, const std::string& dns_name) {
  const api::TestPair pair =
      api::MakeTestCertificate({.subject = name, .dns_names = {dns_name}, .is_authority = true});
  v1::Resource resource;
  resource.set_name(name);
  resource.mutable_certificate()->set_chain(pair.certificate);
  resource.mutable_certificate()->set_private_key(pair.key);
  return resource;
}

v1::Resource Bundle(const std::string& name) {
  v1::Resource resource;
  resource.set_name(name);
  resource.mutable_ca_bundle()->set_certificates(
      api::MakeTestCertificate({.subject = name, .is_authority = true}).certificate);
  return resource;
}

v1::Resource Tickets(char byte) {
  v1::Resource resource;
  resource.set_name("default");
  resource.mutable_session_ticket_keys()->add_keys()->set_secret(std::string(32, byte));
  return resource;
}

v1::Resource Listener(const std::string& name, const std::string& certificate, int port) {
  v1::Resource resource;
  resource.set_name(name);
  v1::Listener& listener = *resource.mutable_listener();
  listener.set_address("127.0.0.1:" + std::to_string(port));
  if (!certificate.empty()) listener.mutable_tls()->add_certificates(certificate);
  return resource;
}

v1::Resource Upstream(const std::string& name, bool tls) {
  v1::Resource resource;
  resource.set_name(name);
  v1::Upstream& upstream = *resource.mutable_upstream();
  upstream.add_endpoints()->set_address("127.0.0.1:9000");
  if (!tls) return resource;
  upstream.set_protocol(v1::UPSTREAM_PROTOCOL_AUTO);
  upstream.mutable_tls()->add_ca_bundles("servers");
  upstream.mutable_tls()->set_server_name("app.example");
  upstream.mutable_tls()->set_certificate("client");
  return resource;
}

v1::Resource Route(const std::string& name, const std::string& upstream) {
  v1::Resource resource;
  resource.set_name(name);
  v1::Route& route = *resource.mutable_route();
  route.mutable_match()->mutable_path()->mutable_grpc()->set_service("app." + name);
  route.add_upstreams()->set_name(upstream);
  route.set_grpc_web(upstream == "secure");
  return resource;
}

class SnapshotTlsTest : public testing::Test {
 protected:
  void SetUp() override {
    v1::Resource guarded = Listener("guarded", "site", 8443);
    v1::ClientAuthentication& authentication =
        *guarded.mutable_listener()->mutable_tls()->mutable_client_authentication();
    authentication.set_mode(v1::ClientAuthentication::REQUIRED);
    authentication.add_ca_bundles("clients");
    guarded.mutable_listener()->mutable_tls()->set_disable_session_tickets(true);
    v1::Resource plain = Listener("plain", "", 8080);
    plain.mutable_listener()->mutable_http2()->set_max_concurrent_streams(7);
    for (v1::Resource& resource : std::vector<v1::Resource>{
             Certificate("site", "a.example"), Certificate("other", "b"),
             Certificate("client", "c"), Bundle("clients"), Bundle("servers"), Tickets('a'),
             Listener("secure", "site", 443), guarded, plain, Upstream("plain", false),
             Upstream("secure", true), Route("plain", "plain"), Route("secure", "secure")}) {
      Put(std::move(resource));
    }
    Build();
  }

  void Put(v1::Resource resource) {
    api::StoredResourcePtr stored = api::MakeStored(std::move(resource));
    set_[api::KeyOf(stored->resource)] = stored;
  }
  v1::Resource Get(const char* kind, const char* name) { return set_.at({kind, name})->resource; }

  void Build() {
    before_ = now_;
    auto built = builder_.Build(++revision_, set_, violations_);
    ASSERT_TRUE(built.ok()) << built.status();
    now_ = *std::move(built);
  }

  static const ListenerEntry* ListenerOf(const Snapshot& snapshot, const std::string& name) {
    for (const auto& listener : snapshot.listeners) {
      if (listener->name == name) return listener.get();
    }
    return nullptr;
  }
  static const UpstreamEntry* UpstreamOf(const Snapshot& snapshot, const std::string& name) {
    for (const RouteEntry& route : snapshot.routes) {
      if (route.upstream->name == name) return route.upstream.get();
    }
    return nullptr;
  }

  // Which of the entries are others than before, and which of those have another context:
  // "secure: entry context".
  std::string Changed() const {
    std::string changed;
    const auto add = [&](const std::string& name, bool entry, bool context) {
      if (!entry) return;
      changed += (changed.empty() ? "" : ", ") + name + (context ? " context" : " entry");
    };
    for (const auto& listener : now_->listeners) {
      const ListenerEntry* before = ListenerOf(*before_, listener->name);
      add(listener->name, before != listener.get(), before->tls != listener->tls);
    }
    for (const char* name : {"plain", "secure"}) {
      const UpstreamEntry* before = UpstreamOf(*before_, name);
      const UpstreamEntry* after = UpstreamOf(*now_, name);
      add(std::string("upstream ") + name, before != after, before->tls != after->tls);
    }
    return changed;
  }

  base::FakeClock clock_;
  observe::MetricIds ids_{100, 100};
  SnapshotBuilder builder_{{}, ids_, clock_};
  api::ResourceSet set_;
  uint64_t revision_ = 0;
  std::vector<v1::Violation> violations_;
  std::shared_ptr<const Snapshot> before_, now_;
};

TEST_F(SnapshotTlsTest, EntriesSayWhatResourcesSay) {
  const ListenerEntry* secure = ListenerOf(*now_, "secure");
  ASSERT_NE(secure->tls, nullptr);
  EXPECT_TRUE(secure->http2);
  EXPECT_EQ(secure->http2_max_streams, 100u);
  EXPECT_EQ(secure->http2_stream_window, 65536u);
  EXPECT_EQ(secure->http2_connection_window, 1048576u);
  ASSERT_EQ(secure->tls->expiries().size(), 1u);
  EXPECT_EQ(secure->tls->expiries()[0].name, "site");
  EXPECT_EQ(secure->tls->expiries()[0].not_after, 4'000'000'000);
  EXPECT_NE(ListenerOf(*now_, "guarded")->tls, secure->tls);
  const ListenerEntry* plain = ListenerOf(*now_, "plain");
  EXPECT_EQ(plain->tls, nullptr);
  EXPECT_EQ(plain->http2_max_streams, 7u);
  EXPECT_NE(UpstreamOf(*now_, "secure")->tls, nullptr);
  EXPECT_EQ(UpstreamOf(*now_, "secure")->protocol, v1::UPSTREAM_PROTOCOL_AUTO);
  EXPECT_EQ(UpstreamOf(*now_, "plain")->tls, nullptr);
  EXPECT_FALSE(now_->routes[0].details->grpc_web);
  EXPECT_TRUE(now_->routes[1].details->grpc_web);
}

TEST_F(SnapshotTlsTest, WhatIsUsedElsewhereMakesEntriesAnew) {
  v1::Resource moved = Get("Listener", "secure");
  moved.mutable_listener()->mutable_limits()->set_max_header_count(7);
  v1::Resource without_h2 = moved;
  without_h2.mutable_listener()->mutable_http2()->set_disabled(true);
  v1::Resource slower = Get("Upstream", "secure");
  slower.mutable_upstream()->mutable_connect_timeout()->set_seconds(1);
  v1::Resource only_h2 = slower;
  only_h2.mutable_upstream()->set_protocol(v1::UPSTREAM_PROTOCOL_HTTP2);
  v1::Resource described = Get("Route", "plain");
  described.set_description("changed");
  const struct {
    const char* name;
    v1::Resource resource;
    const char* changed;
  } steps[] = {
      {"a route", described, ""},
      {"a certificate", Certificate("site", "new.example"), "guarded context, secure context"},
      {"a certificate that nobody uses", Certificate("other", "d"), ""},
      {"a bundle of clients", Bundle("clients"), "guarded context"},
      {"ticket keys", Tickets('b'), "secure context"},
      {"a bundle of servers", Bundle("servers"), "upstream secure context"},
      {"a client's certificate", Certificate("client", "e"), "upstream secure context"},
      {"a listener", moved, "secure entry"},
      {"ALPN of a listener", without_h2, "secure context"},
      {"an upstream", slower, "upstream secure entry"},
      {"the protocol of an upstream", only_h2, "upstream secure context"},
  };
  for (const auto& step : steps) {
    Put(step.resource);
    Build();
    EXPECT_EQ(Changed(), step.changed) << step.name;
  }
}

TEST_F(SnapshotTlsTest, EqualSettingsShareOneContext) {
  Put(Listener("twin", "site", 9443));
  Build();
  EXPECT_EQ(ListenerOf(*now_, "twin")->tls != nullptr, true);
  Put(Certificate("site", "new.example"));
  Build();
  EXPECT_EQ(ListenerOf(*now_, "twin")->tls, ListenerOf(*now_, "secure")->tls);
}

TEST_F(SnapshotTlsTest, AHalfReplacedPairLeavesWhatIsServed) {
  v1::Resource half = Certificate("site", "new.example");
  half.mutable_certificate()->set_private_key(
      Get("Certificate", "site").certificate().private_key());
  Put(half);
  EXPECT_FALSE(builder_.Build(++revision_, set_, violations_).ok());
  ASSERT_EQ(violations_.size(), 1u);
  EXPECT_EQ(violations_[0].field(), "spec.private_key");
  EXPECT_EQ(violations_[0].value(), "(redacted)");
  // The next good one is compared with the last that was built.
  Put(Certificate("site", "newer.example"));
  Build();
  EXPECT_EQ(Changed(), "guarded context, secure context");
}

TEST_F(SnapshotTlsTest, CleartextAndTlsTakeTurns) {
  Put(Listener("secure", "", 443));
  Put(Upstream("secure", false));
  Build();
  EXPECT_EQ(ListenerOf(*now_, "secure")->tls, nullptr);
  EXPECT_EQ(UpstreamOf(*now_, "secure")->tls, nullptr);
  EXPECT_EQ(Changed(), "secure context, upstream secure context");
  Put(Certificate("client", "f"));  // Used by nobody now.
  Build();
  EXPECT_EQ(Changed(), "");
  Put(Listener("secure", "site", 443));
  Put(Upstream("secure", true));
  Build();
  EXPECT_NE(ListenerOf(*now_, "secure")->tls, nullptr);
  EXPECT_NE(UpstreamOf(*now_, "secure")->tls, nullptr);
}

}  // namespace
}  // namespace portico::snapshot
