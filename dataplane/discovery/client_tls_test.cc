// Mutual TLS between the client and a control plane, with certificates made by the
// openssl program.
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "dataplane/discovery/client_test_support.h"
#include "dataplane/discovery/fake_control_plane.h"
#include "gtest/gtest.h"

namespace portico::discovery_client {
namespace {

std::string Content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// A folder with two authorities, "ca" and "other", and certificates by them.
class Certificates {
 public:
  Certificates() {
    folder_ = ::testing::TempDir() + "/tls_XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    for (const char* ca : {"ca", "other"}) {
      Run(std::string(
              "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
              "-subj /CN=") +
          ca + " -keyout " + ca + ".key -out " + ca + ".pem");
    }
    Issue("server", "ca", "DNS:control.test");
    Issue("client", "ca", "DNS:proxy.test");
    Issue("stranger", "other", "DNS:control.test");
  }
  std::string Path(const std::string& file) const { return folder_ + "/" + file; }
  std::string Pem(const std::string& file) const { return Content(Path(file)); }

 private:
  void Run(const std::string& command) const {
    EXPECT_EQ(std::system(("cd " + folder_ + " && " + command + " 2>log").c_str()), 0)
        << Pem("log");
  }
  void Issue(const std::string& name, const std::string& ca, const std::string& alt_name) const {
    std::ofstream(Path(name + ".ext")) << "subjectAltName=" << alt_name << "\n";
    Run("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + name +
        " -keyout " + name + ".key -out " + name + ".csr");
    Run("openssl x509 -req -in " + name + ".csr -CA " + ca + ".pem -CAkey " + ca +
        ".key -CAcreateserial -days 2 -extfile " + name + ".ext -out " + name + ".pem");
  }

  std::string folder_;
};

class ClientTlsTest : public ::testing::Test {
 protected:
  static const Certificates& Files() {
    static const Certificates files;
    return files;
  }
  static std::shared_ptr<grpc::ServerCredentials> Server(const std::string& name) {
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = Files().Pem("ca.pem");
    options.pem_key_cert_pairs.push_back({Files().Pem(name + ".key"), Files().Pem(name + ".pem")});
    return grpc::SslServerCredentials(options);
  }
  static ClientOptions Options(const std::string& address, const std::string& certificate,
                               const std::string& server_name) {
    ClientOptions options = TestOptions(address);
    options.channel.insecure = false;
    options.channel.ca_file = Files().Path("ca.pem");
    options.channel.certificate_file = Files().Path(certificate + ".pem");
    options.channel.key_file = Files().Path(certificate + ".key");
    options.channel.server_name = server_name;
    return options;
  }
  FakeControlPlane::Script Greet() {
    return [this](Talk& talk) {
      hellos_.Put(talk.ReadHello());
      talk.AwaitEnd();
      return grpc::Status::OK;
    };
  }
  std::unique_ptr<DiscoveryClient> Start(ClientOptions options) {
    auto client =
        DiscoveryClient::Create(std::move(options), sink_, base::RealClock(), status_, nullptr);
    EXPECT_TRUE(client.ok()) << client.status();
    (*client)->Start(0, nullptr);
    return *std::move(client);
  }
  // Connects in vain, then to a good control plane: what did not arrive by then was
  // refused and not just late.
  void ExpectRefused(ClientOptions options, const FakeControlPlane& plane) {
    const auto refused = Start(std::move(options));
    FakeControlPlane good({Greet()}, "127.0.0.1:0", Server("server"));
    const auto client = Start(Options(good.address(), "client", "control.test"));
    EXPECT_EQ(hellos_.Take().node_id(), "node-1");
    EXPECT_EQ(plane.streams(), 0u);
  }

  MailboxSink sink_;
  observe::ProxyStatus status_;
  Mailbox<discovery::v1::Hello> hellos_;
};

TEST_F(ClientTlsTest, BothSidesKnowEachOther) {
  FakeControlPlane plane({Greet()}, "127.0.0.1:0", Server("server"));
  const auto client = Start(Options(plane.address(), "client", "control.test"));
  EXPECT_EQ(hellos_.Take().node_id(), "node-1");
}

TEST_F(ClientTlsTest, AControlPlaneOfAnotherAuthorityIsRefused) {
  FakeControlPlane plane({Greet()}, "127.0.0.1:0", Server("stranger"));
  ExpectRefused(Options(plane.address(), "client", "control.test"), plane);
}

TEST_F(ClientTlsTest, AControlPlaneOfAnotherNameIsRefused) {
  FakeControlPlane plane({Greet()}, "127.0.0.1:0", Server("server"));
  ExpectRefused(Options(plane.address(), "client", "elsewhere.test"), plane);
}

TEST_F(ClientTlsTest, AProxyOfAnotherAuthorityIsRefused) {
  FakeControlPlane plane({Greet()}, "127.0.0.1:0", Server("server"));
  ExpectRefused(Options(plane.address(), "stranger", "control.test"), plane);
}

TEST_F(ClientTlsTest, AControlPlaneWithoutTlsIsRefused) {
  FakeControlPlane plane({Greet()});
  ExpectRefused(Options(plane.address(), "client", "control.test"), plane);
}

TEST_F(ClientTlsTest, FilesThatComeLaterAreRead) {
  FakeControlPlane plane({Greet()}, "127.0.0.1:0", Server("server"));
  ClientOptions options = Options(plane.address(), "client", "control.test");
  const std::string late = Files().Path("late.pem");
  options.channel.certificate_file = late;
  const auto client = Start(options);
  std::ofstream(late + ".new") << Files().Pem("client.pem");
  ASSERT_EQ(rename((late + ".new").c_str(), late.c_str()), 0);
  EXPECT_EQ(hellos_.Take().node_id(), "node-1");
}

}  // namespace
}  // namespace portico::discovery_client
