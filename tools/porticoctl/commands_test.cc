// The whole program against services that answer what a test wants.
#include "tools/porticoctl/commands.h"

#include <gmock/gmock.h>
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/resource/test_certificates.h"
#include "tools/porticoctl/rpc_status.pb.h"

namespace portico::ctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr char kRoute[] =
    "kind: Route\nname: users\nspec:\n  match: {path: {prefix: /users}}\n  respond: {status: "
    "200}\n";

class FakeConfig : public v1::ConfigService::Service {
 public:
  grpc::Status Apply(grpc::ServerContext*, const v1::ApplyRequest* request,
                     v1::ApplyResponse* response) override {
    applied = *request;
    response->set_revision(7);
    for (const v1::Resource& resource : request->upserts()) {
      v1::Change& change = *response->add_changes();
      change.mutable_key()->set_kind("Route");
      change.mutable_key()->set_name(resource.name());
      change.set_operation(v1::Change::CREATED);
      *change.mutable_after() = resource;
    }
    return apply_status;
  }
  grpc::Status Get(grpc::ServerContext*, const v1::GetRequest* request,
                   v1::GetResponse* response) override {
    if (request->key().name() == "new") return {grpc::StatusCode::NOT_FOUND, "no such thing"};
    response->mutable_resource()->set_name(request->key().name());
    response->mutable_resource()->set_description("of the shop");
    return grpc::Status::OK;
  }
  grpc::Status List(grpc::ServerContext*, const v1::ListRequest* request,
                    v1::ListResponse* response) override {
    // Two pages of one resource each.
    const bool first = request->page_token().empty();
    v1::Resource& resource = *response->add_resources();
    resource.set_name(first ? "a" : "b");
    (*resource.mutable_labels())["team"] = first ? "x" : "y";
    resource.mutable_route()->mutable_match()->mutable_path()->set_prefix("/");
    resource.mutable_route()->add_upstreams()->set_name("u");
    response->set_revision(3);
    if (first) response->set_next_page_token("b");
    return grpc::Status::OK;
  }
  grpc::Status ListRevisions(grpc::ServerContext*, const v1::ListRevisionsRequest* request,
                             v1::ListRevisionsResponse* response) override {
    const uint64_t newest = request->before_revision() == 0 ? 5 : request->before_revision() - 1;
    for (uint64_t i = newest; i > 0 && newest - i < request->page_size(); --i) {
      response->add_revisions()->set_revision(i);
    }
    return grpc::Status::OK;
  }

  grpc::Status apply_status;
  v1::ApplyRequest applied;
};

class FakeFleet : public v1::FleetService::Service {
 public:
  grpc::Status WatchRollout(grpc::ServerContext* context, const v1::WatchRolloutRequest* request,
                            grpc::ServerWriter<v1::RolloutStatus>* writer) override {
    v1::RolloutStatus status;
    status.set_revision(request->revision());
    status.set_state(v1::RolloutStatus::IN_PROGRESS);
    status.set_connected(2);
    status.set_applied(1);
    v1::ProxyStatus& late = *status.add_waiting();
    late.set_node_id("proxy-2");
    late.set_connected(true);
    late.set_applied_revision(6);
    writer->Write(status);
    if (outcome == v1::RolloutStatus::IN_PROGRESS) {
      grpc::CompletionQueue queue;
      while (!context->IsCancelled()) {
        grpc::Alarm alarm;
        alarm.Set(&queue, gpr_time_from_millis(5, GPR_TIMESPAN), nullptr);
        void* tag = nullptr;
        bool ok = false;
        queue.Next(&tag, &ok);
      }
      return grpc::Status::OK;
    }
    status.set_state(outcome);
    if (outcome == v1::RolloutStatus::REJECTED) {
      late.set_rejected_revision(7);
      v1::Violation& violation = *late.add_rejections();
      violation.mutable_resource()->set_kind("Listener");
      violation.mutable_resource()->set_name("http");
      violation.set_field("spec.address");
      violation.set_reason("cannot be bound");
    } else {
      status.clear_waiting();
      status.set_applied(2);
    }
    writer->Write(status);
    return grpc::Status::OK;
  }

  v1::RolloutStatus::State outcome = v1::RolloutStatus::LIVE;
};

class CommandsTest : public testing::Test {
 protected:
  CommandsTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&config_);
    builder.RegisterService(&fleet_);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~CommandsTest() override { server_->Shutdown(); }

  // The exit code; what was printed is in out_ and err_.
  int Do(const std::string& line, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream err;
    Console console{in, out, err};
    const auto environment = [this](const std::string& name) {
      if (name == "PORTICO_SERVER") return address_;
      if (name == "PORTICO_INSECURE") return std::string("1");
      return std::string();
    };
    const int code = ctl::Run(absl::StrSplit(line, ' ', absl::SkipEmpty()), environment,
                              absl::FromUnixSeconds(1000000), console);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  FakeConfig config_;
  FakeFleet fleet_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::string out_;
  std::string err_;
};

TEST_F(CommandsTest, ApplySendsEverythingAndTellsTheRevision) {
  EXPECT_EQ(Do("apply -f - -m why --author jo --expected-revision 6", kRoute), kExitOk) << err_;
  EXPECT_EQ(out_, "Route/users created\nrevision 7: 1 change\n");
  EXPECT_EQ(config_.applied.upserts_size(), 1);
  EXPECT_EQ(config_.applied.message(), "why");
  EXPECT_EQ(config_.applied.author(), "jo");
  EXPECT_EQ(config_.applied.expected_revision(), 6u);
}

TEST_F(CommandsTest, DryRunSaysSo) {
  EXPECT_EQ(Do("apply -f - --dry-run -o json", kRoute), kExitOk) << err_;
  EXPECT_TRUE(config_.applied.dry_run());
  EXPECT_TRUE(Json::parse(out_)["dry_run"].get<bool>());
}

TEST_F(CommandsTest, ViolationsAreShownWithTheirPlace) {
  v1::ApplyError error;
  v1::Violation& violation = *error.add_violations();
  violation.mutable_resource()->set_kind("Route");
  violation.mutable_resource()->set_name("users");
  violation.set_field("spec.match.path.prefix");
  violation.set_value("/users");
  violation.set_reason("some reason");
  violation.set_fix("do better");
  RpcStatus details;
  details.add_details()->PackFrom(error);
  config_.apply_status =
      grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "1 violation", details.SerializeAsString());
  EXPECT_EQ(Do("apply -f -", kRoute), kExitRefused);
  EXPECT_THAT(err_, StartsWith("<stdin>:4: Route/users spec.match.path.prefix"));
  EXPECT_THAT(err_, HasSubstr("do better"));
  EXPECT_THAT(err_, HasSubstr("nothing was changed: 1 violation"));
  EXPECT_EQ(Do("apply -f - -o json", kRoute), kExitRefused);
  EXPECT_EQ(Json::parse(out_)["violations"][0]["place"], "<stdin>:4");
}

TEST_F(CommandsTest, RefusalsWithoutDetailsAndBrokenDetails) {
  config_.apply_status = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "revision is 9");
  EXPECT_EQ(Do("delete routes a"), kExitRefused);
  EXPECT_EQ(err_, "porticoctl: refused: revision is 9\n");
  config_.apply_status = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no", "\xff\xff\xff");
  EXPECT_EQ(Do("delete routes a"), kExitRefused);
  EXPECT_EQ(err_, "porticoctl: refused: no\n");
}

TEST_F(CommandsTest, WaitingEndsLiveRejectedOrLate) {
  EXPECT_EQ(Do("apply -f - --wait", kRoute), kExitOk);
  EXPECT_THAT(out_,
              HasSubstr("revision 7: applied on 1 of 2 proxies, waiting for proxy-2 (has 6)"));
  EXPECT_THAT(out_, HasSubstr("revision 7 is live on 2 proxies\n"));
  fleet_.outcome = v1::RolloutStatus::REJECTED;
  EXPECT_EQ(Do("rollout --wait --revision 7"), kExitRollout);
  EXPECT_THAT(err_, HasSubstr("proxy-2: Listener/http spec.address"));
  EXPECT_THAT(err_, HasSubstr("keeps serving revision 6"));
  fleet_.outcome = v1::RolloutStatus::IN_PROGRESS;
  EXPECT_EQ(Do("rollout --wait --revision 7 --timeout 100ms"), kExitRollout);
  EXPECT_THAT(err_, HasSubstr("not live after 100ms"));
  EXPECT_EQ(Do("rollout --revision 7 -o json"), kExitOk);
  EXPECT_EQ(Json::parse(out_)["state"], "in_progress");
}

TEST_F(CommandsTest, ListReadsAllPagesAndFilters) {
  EXPECT_EQ(Do("list"), kExitOk);
  EXPECT_EQ(out_,
            "KIND   NAME  SUMMARY  LABELS\n"
            "Route  a     /* -> u  team=x\n"
            "Route  b     /* -> u  team=y\n");
  EXPECT_EQ(Do("list --label team=y -o json"), kExitOk);
  EXPECT_EQ(Json::parse(out_).size(), 1u);
  EXPECT_EQ(Do("list -o yaml"), kExitOk);
  EXPECT_THAT(out_, HasSubstr("---\n"));
}

TEST_F(CommandsTest, HistoryStopsAtTheLimitAndAtTheFirstRevision) {
  EXPECT_EQ(Do("history --limit 2 -o json"), kExitOk);
  EXPECT_EQ(Json::parse(out_).size(), 2u);
  EXPECT_EQ(Do("history -o json"), kExitOk);
  EXPECT_EQ(Json::parse(out_).size(), 5u);
  EXPECT_EQ(Do("history --limit 5 -o json"), kExitOk);
  EXPECT_EQ(Json::parse(out_).size(), 5u);
}

TEST_F(CommandsTest, DiffOfFilesIsADryRun) {
  EXPECT_EQ(Do("diff -f -", kRoute), kExitOk);
  EXPECT_TRUE(config_.applied.dry_run());
  EXPECT_THAT(out_, StartsWith("Route/users created\n+ kind: Route\n"));
}

TEST_F(CommandsTest, UnreachableIsThree) {
  server_->Shutdown();
  EXPECT_EQ(Do("fleet --timeout 5s"), kExitUnreachable);
  EXPECT_THAT(err_, HasSubstr("cannot reach the control plane at 127.0.0.1:"));
}

TEST_F(CommandsTest, MistakesAreTwo) {
  EXPECT_EQ(Do("apply -f /does/not/exist"), kExitUsage);
  EXPECT_EQ(Do("list --server 192.0.2.1:1"), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("--insecure works only to a loopback address"));
  EXPECT_EQ(Do("list --bogus"), kExitUsage);
  EXPECT_EQ(Do("apply -f -", "kind: Gizmo\nname: a\n"), kExitRefused);
}

TEST_F(CommandsTest, ValidateIsOffline) {
  server_->Shutdown();
  EXPECT_EQ(Do("validate -f -", kRoute), kExitOk) << err_;
  EXPECT_EQ(out_, "valid: 1 resource\n");
  EXPECT_EQ(Do("validate -f -",
               "kind: Route\nname: r\nspec:\n  match: {path: {regex: \"(\"}}\n"
               "  upstreams: [{name: nobody}]\n"),
            kExitRefused);
  EXPECT_THAT(err_, HasSubstr("<stdin>:4: Route/r spec.match.path.regex"));
  EXPECT_THAT(err_, HasSubstr("nobody"));
}

TEST_F(CommandsTest, HashKey) {
  EXPECT_EQ(Do("hash-key", "abc\n"), kExitOk);
  EXPECT_EQ(out_, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n");
  EXPECT_EQ(Do("hash-key", "\n"), kExitUsage);
  EXPECT_EQ(Do("hash-key --generate -o json"), kExitOk);
  const Json made = Json::parse(out_);
  EXPECT_EQ(Do("hash-key", made["key"].get<std::string>()), kExitOk);
  EXPECT_EQ(out_, made["sha256"].get<std::string>() + "\n");
}

TEST_F(CommandsTest, TokenHoldsTheClaims) {
  const std::string path = testing::TempDir() + "/token-key";
  unlink(path.c_str());
  EXPECT_EQ(Do("token --key-file " + path), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("--create-key"));
  EXPECT_EQ(Do("token --create-key --key-file " + path +
               " --issuer i --audience a --subject s --claim plan=gold --claim n=3 "
               "--claim roles=[\"x\"] --expires-in 10s"),
            kExitOk)
      << err_;
  const std::vector<std::string> parts = absl::StrSplit(out_, '.');
  ASSERT_EQ(parts.size(), 3u);
  std::string head;
  std::string claims;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(parts[0], &head));
  ASSERT_TRUE(absl::WebSafeBase64Unescape(parts[1], &claims));
  EXPECT_EQ(Json::parse(claims), Json::parse(R"({"iss":"i","aud":"a","sub":"s","iat":1000000,
      "exp":1000010,"plan":"gold","n":3,"roles":["x"]})"));
  EXPECT_EQ(Do("token --jwks --key-file " + path), kExitOk);
  EXPECT_EQ(Json::parse(out_)["keys"][0]["kid"], Json::parse(head)["kid"]);
  EXPECT_EQ(Do("token --alg RS256 --key-file " + path), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("is for ES256, not for RS256"));
}

TEST_F(CommandsTest, CompletionKnowsVerbsFlagsAndKinds) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_EQ(Do(absl::StrCat("completion ", shell)), kExitOk);
    for (const char* word : {"rollout", "expected-revision", "ratelimitpolicy", "server"}) {
      EXPECT_THAT(out_, HasSubstr(word)) << shell;
    }
  }
}

class CertificateCommandTest : public CommandsTest {
 protected:
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = testing::TempDir() + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  const api::TestPair pair_ = api::MakeTestCertificate({.dns_names = {"a.example"}, .serial = 5});
  const std::string chain_ = Write("chain.pem", pair_.certificate);
  const std::string key_ = Write("key.pem", pair_.key);
};

TEST_F(CertificateCommandTest, AppliesAPair) {
  const std::string ocsp = Write("ocsp.der", api::MakeTestOcsp(5, api::TestOcspStatus::kGood));
  EXPECT_EQ(Do(absl::StrCat("certificate site --chain ", chain_, " --key ", key_, " --ocsp ", ocsp,
                            " -m renewed")),
            0)
      << err_;
  ASSERT_EQ(config_.applied.upserts_size(), 1);
  const v1::Resource& sent = config_.applied.upserts(0);
  EXPECT_EQ(sent.name(), "site");
  EXPECT_EQ(sent.description(), "of the shop");
  EXPECT_EQ(sent.certificate().chain(), pair_.certificate);
  EXPECT_EQ(sent.certificate().private_key(), pair_.key);
  EXPECT_FALSE(sent.certificate().ocsp_response().empty());
  EXPECT_EQ(config_.applied.message(), "renewed");
  EXPECT_EQ(Do(absl::StrCat("certificate new --chain ", chain_, " --key ", key_)), 0) << err_;
  EXPECT_EQ(config_.applied.upserts(0).description(), "");
  EXPECT_EQ(Do(absl::StrCat("certificate new --ca ", chain_)), 0) << err_;
  EXPECT_EQ(config_.applied.upserts(0).ca_bundle().certificates(), pair_.certificate);
}

TEST_F(CertificateCommandTest, SendsNothingThatIsWrong) {
  const std::string other = Write("other.pem", api::MakeTestCertificate({}).key);
  const struct {
    std::string arguments;
    int code;
    const char* message;
  } cases[] = {
      {absl::StrCat("--chain ", chain_, " --key ", other), 1, "is not the key of the first"},
      {absl::StrCat("--chain ", chain_), 2, "either --chain and --key, or --ca"},
      {absl::StrCat("--chain ", chain_, " --key ", key_, " --ca ", chain_), 2, "or --ca alone"},
      {absl::StrCat("--chain ", chain_, " --key ", key_, ".missing"), 2, "cannot be read"},
      {absl::StrCat("--ca ", key_), 1, "make a new key"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Do("certificate site " + c.arguments), c.code) << c.arguments;
    EXPECT_THAT(err_, HasSubstr(c.message)) << c.arguments;
    EXPECT_EQ(err_.find("BEGIN PRIVATE KEY-----\n"), std::string::npos);
    EXPECT_EQ(config_.applied.upserts_size(), 0);
  }
}

TEST_F(CertificateCommandTest, PrintsWhatApplyAndValidateTake) {
  EXPECT_EQ(Do(absl::StrCat("certificate site --print --chain ", chain_, " --key ", key_)), 0);
  const std::string yaml = out_;
  EXPECT_THAT(yaml, HasSubstr("  private_key: |\n    -----BEGIN PRIVATE KEY-----\n"));
  EXPECT_EQ(Do("validate -f -", yaml), 0) << err_;
  EXPECT_EQ(Do("apply -f -", yaml), 0) << err_;
  EXPECT_EQ(config_.applied.upserts(0).certificate().private_key(), pair_.key);
  // A dry run shows what would change, and no key.
  EXPECT_EQ(Do("diff -f -", yaml), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("(redacted)"));
  EXPECT_EQ(out_.find("PRIVATE"), std::string::npos);
}

TEST_F(CertificateCommandTest, WarnsOfWhatHasExpired) {
  const api::TestPair old = api::MakeTestCertificate({.not_before = 0, .not_after = 999'999});
  const std::string arguments =
      absl::StrCat("certificate site --print --chain ", Write("old.pem", old.certificate),
                   " --key ", Write("old.key", old.key));
  EXPECT_EQ(Do(arguments), 0) << err_;
  EXPECT_THAT(err_, HasSubstr("warning: Certificate/site spec.chain: \"CN=test\": has expired, on "
                              "1970-01-12 13:46:39 UTC"));
  EXPECT_EQ(Do("validate -f -", out_), 0);
  EXPECT_THAT(err_, HasSubstr("warning: Certificate/site spec.chain"));
}

}  // namespace
}  // namespace portico::ctl
