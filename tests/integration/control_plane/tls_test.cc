// Who may connect to a control plane.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>

#include "controlplane/control_plane.h"
#include "controlplane/store/test_resources.h"
#include "tests/integration/control_plane/fake_proxy.h"
#include "tests/integration/control_plane/operator.h"

namespace portico::testing {
namespace {

using control::TestUpstream;
using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/tlsXXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    MakeAuthority("ca");
    MakeAuthority("stranger-ca");
    MakeCertificate("ca", "server", "localhost", "DNS:localhost,IP:127.0.0.1");
    MakeCertificate("ca", "ada", "ada-by-name", "URI:spiffe://example/ada");
    MakeCertificate("ca", "plain", "plain-name", "");
    MakeCertificate("stranger-ca", "stranger", "stranger", "");
    options_.store = folder_ + "/store.db";
    options_.grpc_address = "127.0.0.1:0";
    options_.metrics_address = "";
    options_.tls_cert = folder_ + "/server.pem";
    options_.tls_key = folder_ + "/server.key";
    options_.client_ca = folder_ + "/ca.pem";
  }

  void Run(const std::string& command) {
    ASSERT_EQ(system(("cd " + folder_ + " && " + command + " 2>openssl.log").c_str()), 0)
        << ReadFile(folder_ + "/openssl.log");
  }

  void MakeAuthority(const std::string& name) {
    Run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=" +
        name + " -keyout " + name + ".key -out " + name + ".pem");
  }

  void MakeCertificate(const std::string& authority, const std::string& name,
                       const std::string& common_name, const std::string& alternative_names) {
    Run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + common_name +
        " -keyout " + name + ".key -out " + name + ".csr");
    std::ofstream extensions(folder_ + "/" + name + ".ext");
    extensions << "basicConstraints=CA:FALSE\n";
    if (!alternative_names.empty()) extensions << "subjectAltName=" << alternative_names << "\n";
    extensions.close();
    Run("openssl x509 -req -days 2 -in " + name + ".csr -CA " + authority + ".pem -CAkey " +
        authority + ".key -CAcreateserial -extfile " + name + ".ext -out " + name + ".pem");
  }

  void Start() {
    auto running = control::StartControlPlane(options_, clock_);
    ASSERT_TRUE(running.ok()) << running.status();
    running_ = *std::move(running);
  }

  // A channel that shows the certificate of that name; none if it is empty.
  std::shared_ptr<grpc::Channel> ChannelAs(const std::string& name) {
    grpc::SslCredentialsOptions ssl;
    ssl.pem_root_certs = ReadFile(folder_ + "/ca.pem");
    if (!name.empty()) {
      ssl.pem_cert_chain = ReadFile(folder_ + "/" + name + ".pem");
      ssl.pem_private_key = ReadFile(folder_ + "/" + name + ".key");
    }
    return grpc::CreateChannel(running_->grpc_address(), grpc::SslCredentials(ssl));
  }

  std::string PeerOfNewest(Operator& caller) {
    grpc::ClientContext context;
    v1::ListRevisionsResponse response;
    EXPECT_TRUE(caller.config->ListRevisions(&context, {}, &response).ok());
    return response.revisions_size() == 0 ? "" : response.revisions(0).peer();
  }

  std::string folder_;
  control::Options options_;
  control::RealClock clock_;
  std::unique_ptr<control::ControlPlane> running_;
};

TEST_F(TlsTest, KnownClientsAreServedAndNamed) {
  Start();
  Operator ada(ChannelAs("ada"));
  ASSERT_EQ(ada.Apply({TestUpstream("a")}), 1u) << ada.status.error_message();
  EXPECT_EQ(PeerOfNewest(ada), "spiffe://example/ada");
  Operator plain(ChannelAs("plain"));
  ASSERT_EQ(plain.Apply({TestUpstream("b")}), 2u) << plain.status.error_message();
  EXPECT_EQ(PeerOfNewest(plain), "plain-name");
  FakeProxy proxy(ChannelAs("plain"), "edge-1");
  proxy.Connect();
  EXPECT_EQ(proxy.Take(), 2u);
}

TEST_F(TlsTest, OthersAreRefused) {
  Start();
  for (const char* name : {"", "stranger"}) {
    Operator caller(ChannelAs(name));
    EXPECT_EQ(caller.Apply({TestUpstream("a")}), 0u);
    EXPECT_EQ(caller.status.error_code(), grpc::StatusCode::UNAVAILABLE) << name;
    FakeProxy proxy(ChannelAs(name), "edge-1");
    proxy.Connect();
    EXPECT_EQ(proxy.WaitForEnd().error_code(), grpc::StatusCode::UNAVAILABLE) << name;
  }
  Operator plaintext(
      grpc::CreateChannel(running_->grpc_address(), grpc::InsecureChannelCredentials()));
  EXPECT_EQ(plaintext.Apply({TestUpstream("a")}), 0u);
  EXPECT_EQ(plaintext.status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, OnlyOperatorsChangeAndRead) {
  options_.operators = {"spiffe://example/ada"};
  Start();
  Operator ada(ChannelAs("ada"));
  ASSERT_EQ(ada.Apply({TestUpstream("a")}), 1u) << ada.status.error_message();
  Operator plain(ChannelAs("plain"));
  EXPECT_EQ(plain.Apply({TestUpstream("b")}), 0u);
  EXPECT_EQ(plain.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(plain.status.error_message(), HasSubstr("\"plain-name\" is not among --operators"));
  plain.Proxies();
  EXPECT_EQ(plain.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  plain.Watch(1);
  EXPECT_EQ(plain.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  FakeProxy proxy(ChannelAs("plain"), "edge-1");
  proxy.Connect();
  EXPECT_EQ(proxy.Take(), 1u) << "a proxy needs no such name";
}

TEST_F(TlsTest, FilesThatDoNotFitAreNoticedAtStart) {
  options_.tls_key = folder_ + "/ada.key";
  const auto running = control::StartControlPlane(options_, clock_);
  ASSERT_FALSE(running.ok());
  EXPECT_THAT(std::string(running.status().message()), HasSubstr("do not fit together"));
}

TEST_F(TlsTest, AUsedPortIsNoticedAtStart) {
  Start();
  control::Options second = options_;
  second.store += "2";
  second.grpc_address = running_->grpc_address();
  const auto running = control::StartControlPlane(second, clock_);
  ASSERT_FALSE(running.ok());
  EXPECT_THAT(std::string(running.status().message()), HasSubstr("--grpc-address: cannot listen"));
}

}  // namespace
}  // namespace portico::testing
