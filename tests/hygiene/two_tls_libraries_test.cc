// All of Portico's libraries in one process. BoringSSL (ours) and OpenSSL (gRPC's) use the same
// symbol names; here each makes a handshake of its own, and symbols_test.py looks at the symbols.

#include <dlfcn.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "llhttp.h"
#include "tests/hygiene/boringssl_handshake.h"
#include "tests/hygiene/smoke.grpc.pb.h"

ABSL_FLAG(int, smoke_level, 3, "shows that flags work");

namespace portico::hygiene {
namespace {

class EchoService : public Echo::Service {
  grpc::Status Say(grpc::ServerContext* context, const EchoRequest* request,
                   EchoReply* reply) override {
    const bool encrypted = !context->auth_context()
                                ->FindPropertyValues(GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME)
                                .empty();
    reply->set_text(absl::StrCat(request->text(), encrypted ? " over TLS" : " in the clear"));
    return grpc::Status::OK;
  }
};

std::string EchoOverGrpcTls(const PemIdentity& identity) {
  grpc::SslServerCredentialsOptions server_options;
  server_options.pem_key_cert_pairs.push_back({identity.private_key, identity.certificate});
  EchoService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("localhost:0", grpc::SslServerCredentials(server_options), &port);
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return "the server did not start";
  }
  grpc::SslCredentialsOptions client_options;
  client_options.pem_root_certs = identity.certificate;
  auto stub = Echo::NewStub(
      grpc::CreateChannel(absl::StrCat("localhost:", port), grpc::SslCredentials(client_options)));

  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  EchoRequest request;
  request.set_text("hello");
  EchoReply reply;
  const grpc::Status status = stub->Say(&context, request, &reply);
  server->Shutdown();
  return status.ok() ? reply.text() : status.error_message();
}

TEST(TwoTlsLibraries, EachMakesAHandshakeInOneProcess) {
  const PemIdentity identity = MakeIdentity();
  ASSERT_NE(identity.certificate, "");
  EXPECT_EQ(HandshakeInMemory(identity), "TLSv1.3");
  EXPECT_EQ(EchoOverGrpcTls(identity), "hello over TLS");
  EXPECT_EQ(HandshakeInMemory(identity), "TLSv1.3");
}

TEST(TwoTlsLibraries, TheDynamicLinkerKnowsOnlyOpenSsl) {
  using VersionFunction = const char* (*)(int);
  auto version = reinterpret_cast<VersionFunction>(dlsym(RTLD_DEFAULT, "OpenSSL_version"));
  ASSERT_NE(version, nullptr);
  EXPECT_EQ(std::string(version(0)).substr(0, 10), "OpenSSL 3.");
}

TEST(Libraries, AbseilWorksInCpp20) {
  absl::StatusOr<int> value = absl::NotFoundError(absl::StrCat("route ", 7));
  EXPECT_EQ(value.status().ToString(), "NOT_FOUND: route 7");
  EXPECT_EQ(absl::GetFlag(FLAGS_smoke_level), 3);
  EXPECT_NE(absl::FindCommandLineFlag("smoke_level"), nullptr);
  EXPECT_EQ(absl::StrFormat("%s", absl::FormatDuration(absl::Seconds(90))), "1m30s");
}

TEST(Libraries, Nghttp2Links) { EXPECT_EQ(nghttp2_version(0)->version_num >> 8, 0x0134); }

TEST(Libraries, LlhttpParses) {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  llhttp_t parser;
  llhttp_init(&parser, HTTP_REQUEST, &settings);
  const std::string request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
  EXPECT_EQ(llhttp_execute(&parser, request.data(), request.size()), HPE_OK);
}

TEST(Libraries, PrometheusCounts) {
  prometheus::Registry registry;
  auto& counter = prometheus::BuildCounter().Name("c").Register(registry).Add({});
  counter.Increment();
  EXPECT_EQ(registry.Collect().size(), 1u);
}

}  // namespace
}  // namespace portico::hygiene
