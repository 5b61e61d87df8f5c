// ConfigService and FleetService, over real connections.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <set>

#include "controlplane/control_plane.h"
#include "controlplane/management/status_details.pb.h"
#include "controlplane/store/test_resources.h"
#include "tests/integration/control_plane/operator.h"

namespace portico::testing {
namespace {

using control::TestRoute;
using control::TestUpstream;
using ::testing::HasSubstr;

class ServicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = ::testing::TempDir() + "/servicesXXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    control::Options options;
    options.store = folder + "/store.db";
    options.grpc_address = "127.0.0.1:0";
    options.metrics_address = "";
    options.insecure = true;
    auto running = control::StartControlPlane(options, clock_);
    ASSERT_TRUE(running.ok()) << running.status();
    running_ = *std::move(running);
    operator_ = std::make_unique<Operator>(
        grpc::CreateChannel(running_->grpc_address(), grpc::InsecureChannelCredentials()));
  }

  v1::GetResponse Get(const std::string& kind, const std::string& name, uint64_t revision = 0) {
    grpc::ClientContext context;
    v1::GetRequest request;
    request.mutable_key()->set_kind(kind);
    request.mutable_key()->set_name(name);
    request.set_revision(revision);
    v1::GetResponse response;
    status_ = operator_->config->Get(&context, request, &response);
    return response;
  }

  v1::ListResponse List(const v1::ListRequest& request) {
    grpc::ClientContext context;
    v1::ListResponse response;
    status_ = operator_->config->List(&context, request, &response);
    return response;
  }

  // All pages; the names.
  std::vector<std::string> ListAll(v1::ListRequest request, int* pages = nullptr) {
    std::vector<std::string> names;
    do {
      const v1::ListResponse response = List(request);
      EXPECT_TRUE(status_.ok()) << status_.error_message();
      for (const v1::Resource& resource : response.resources()) names.push_back(resource.name());
      request.set_page_token(response.next_page_token());
      if (pages != nullptr) ++*pages;
    } while (status_.ok() && !request.page_token().empty());
    return names;
  }

  v1::DiffResponse Diff(uint64_t from, uint64_t to) {
    grpc::ClientContext context;
    v1::DiffRequest request;
    request.set_from_revision(from);
    request.set_to_revision(to);
    v1::DiffResponse response;
    status_ = operator_->config->Diff(&context, request, &response);
    return response;
  }

  control::FakeClock clock_;
  std::unique_ptr<control::ControlPlane> running_;
  std::unique_ptr<Operator> operator_;
  grpc::Status status_;
};

TEST_F(ServicesTest, ViolationsComeAllAtOnceAndReadable) {
  ASSERT_EQ(operator_->Apply({TestUpstream("users")}), 1u);
  EXPECT_EQ(operator_->Apply({TestRoute("a", "userz"), TestRoute("b", "orders")}), 0u);
  const grpc::Status& status = operator_->status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("Route/a spec.upstreams[0].name: \"userz\""));
  EXPECT_THAT(status.error_message(), HasSubstr("Route/b spec.upstreams[0].name: \"orders\""));
  control::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  v1::ApplyError error;
  ASSERT_TRUE(details.details(0).UnpackTo(&error));
  EXPECT_EQ(error.violations_size(), 2);
  EXPECT_EQ(List({}).revision(), 1u);
}

TEST_F(ServicesTest, ClientsMayAskForMoreDetails) {
  std::vector<v1::Resource> bad;
  for (int i = 0; i < 500; ++i) bad.push_back(TestRoute("r" + std::to_string(i), "missing"));
  EXPECT_EQ(operator_->Apply(bad), 0u);
  EXPECT_EQ(operator_->status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(operator_->status.error_message(), HasSubstr("500 violations"));

  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 1 << 20);
  Operator patient(grpc::CreateCustomChannel(running_->grpc_address(),
                                             grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.AddMetadata("portico-detail-bytes", "500000");
  v1::ApplyRequest request;
  for (const v1::Resource& resource : bad) *request.add_upserts() = resource;
  v1::ApplyResponse response;
  const grpc::Status status = patient.config->Apply(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
  control::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  v1::ApplyError error;
  ASSERT_TRUE(details.details(0).UnpackTo(&error));
  EXPECT_EQ(error.violations_size(), 500);
}

TEST_F(ServicesTest, ConflictsAreTold) {
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  v1::ApplyRequest request;
  *request.add_upserts() = TestUpstream("b");
  request.set_expected_revision(7);
  EXPECT_EQ(operator_->Apply(request), 0u);
  EXPECT_EQ(operator_->status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(ServicesTest, ADryRunAnswersWithTheChanges) {
  grpc::ClientContext context;
  v1::ApplyRequest request;
  *request.add_upserts() = TestUpstream("a");
  request.set_dry_run(true);
  v1::ApplyResponse response;
  ASSERT_TRUE(operator_->config->Apply(&context, request, &response).ok());
  EXPECT_EQ(response.revision(), 0u);
  ASSERT_EQ(response.changes_size(), 1);
  EXPECT_EQ(response.changes(0).operation(), v1::Change::CREATED);
  EXPECT_FALSE(response.changes(0).has_before());
  EXPECT_EQ(response.changes(0).after().name(), "a");
  EXPECT_EQ(List({}).resources_size(), 0);
}

TEST_F(ServicesTest, GetsNowAndThen) {
  ASSERT_EQ(operator_->Apply({TestUpstream("users", 1)}), 1u);
  ASSERT_EQ(operator_->Apply({TestUpstream("users", 2)}), 2u);
  EXPECT_EQ(Get("Upstream", "users").resource().upstream().endpoints(0).address(), "127.0.0.1:2");
  EXPECT_EQ(Get("Upstream", "users").revision(), 2u);
  EXPECT_EQ(Get("Upstream", "users", 1).resource().upstream().endpoints(0).address(),
            "127.0.0.1:1");
  Get("Upstream", "usres");
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status_.error_message(), HasSubstr("did you mean \"users\"?"));
  Get("Upstream", "users", 9);
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::NOT_FOUND);
  Get("", "users");
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServicesTest, ListsPageByPage) {
  std::vector<v1::Resource> many;
  for (int i = 0; i < 25; ++i) {
    many.push_back(TestUpstream("u" + std::to_string(i)));
    many.push_back(TestRoute("r" + std::to_string(i), "u" + std::to_string(i)));
  }
  ASSERT_EQ(operator_->Apply(many), 1u) << operator_->status.error_message();
  v1::ListRequest request;
  request.set_page_size(7);
  int pages = 0;
  const std::vector<std::string> all = ListAll(request, &pages);
  EXPECT_EQ(all.size(), 50u);
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), 50u);
  EXPECT_EQ(pages, 8);
  request.set_kind("Upstream");
  EXPECT_EQ(ListAll(request).size(), 25u);
  request.set_kind("Plan");
  EXPECT_TRUE(ListAll(request).empty());
  // A page belongs to the revision of the first one.
  request.set_kind("");
  v1::ListResponse first = List(request);
  ASSERT_EQ(operator_->Apply({TestUpstream("a-new-one")}), 2u);
  request.set_page_token(first.next_page_token());
  EXPECT_EQ(ListAll(request).size(), 43u);
  EXPECT_EQ(List(request).revision(), 1u);
}

TEST_F(ServicesTest, PagesStayBelowWhatClientsAccept) {
  std::vector<v1::Resource> many;
  for (int i = 0; i < 6000; ++i) {
    many.push_back(TestUpstream("u" + std::to_string(i)));
    many.back().set_description(std::string(1000, 'x'));
  }
  ASSERT_EQ(operator_->Apply(many), 1u) << operator_->status.error_message();
  v1::ListRequest request;
  request.set_page_size(10000);
  int pages = 0;
  EXPECT_EQ(ListAll(request, &pages).size(), 6000u);
  EXPECT_EQ(pages, 2);
}

TEST_F(ServicesTest, BadPagesAreRefused) {
  v1::ListRequest request;
  request.set_page_size(10001);
  List(request);
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_page_size(0);
  for (const char* token : {"!", "", "MS8", "eHh4"}) {
    request.set_page_token(token);
    List(request);
    EXPECT_EQ(status_.ok(), *token == '\0') << token;
  }
}

TEST_F(ServicesTest, RollsBackAndKeepsHistory) {
  ASSERT_EQ(operator_->Apply({TestUpstream("a", 1)}, {}, "ada"), 1u);
  ASSERT_EQ(operator_->Apply({TestUpstream("a", 2), TestUpstream("b")}), 2u);
  v1::DiffResponse diff = Diff(1, 0);
  EXPECT_EQ(diff.to_revision(), 2u);
  ASSERT_EQ(diff.changes_size(), 2);
  EXPECT_EQ(diff.changes(0).operation(), v1::Change::UPDATED);
  EXPECT_EQ(diff.changes(0).before().upstream().endpoints(0).address(), "127.0.0.1:1");
  EXPECT_EQ(diff.changes(1).operation(), v1::Change::CREATED);
  grpc::ClientContext context;
  v1::RollbackRequest request;
  request.set_to_revision(1);
  request.set_author("grace");
  v1::ApplyResponse response;
  ASSERT_TRUE(operator_->config->Rollback(&context, request, &response).ok());
  EXPECT_EQ(response.revision(), 3u);
  EXPECT_EQ(Diff(1, 3).changes_size(), 0);
  EXPECT_EQ(Diff(3, 2).changes_size(), 2);
  Diff(1, 99);
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::NOT_FOUND);

  grpc::ClientContext list_context;
  v1::ListRevisionsRequest list;
  list.set_page_size(2);
  v1::ListRevisionsResponse revisions;
  ASSERT_TRUE(operator_->config->ListRevisions(&list_context, list, &revisions).ok());
  ASSERT_EQ(revisions.revisions_size(), 2);
  EXPECT_EQ(revisions.revisions(0).revision(), 3u);
  EXPECT_EQ(revisions.revisions(0).author(), "grace");
  EXPECT_EQ(revisions.revisions(0).message(), "rollback to revision 1");
  EXPECT_EQ(revisions.revisions(0).updated(), 1u);
  EXPECT_EQ(revisions.revisions(0).deleted(), 1u);
  list.set_before_revision(2);
  grpc::ClientContext next_context;
  ASSERT_TRUE(operator_->config->ListRevisions(&next_context, list, &revisions).ok());
  ASSERT_EQ(revisions.revisions_size(), 1);
  EXPECT_EQ(revisions.revisions(0).author(), "ada");
}

TEST_F(ServicesTest, RolloutsOfUnknownRevisionsAreNotFound) {
  operator_->Watch(5);
  EXPECT_EQ(operator_->status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServicesTest, AWatcherIsEndedByStop) {
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  grpc::ClientContext context;
  v1::WatchRolloutRequest request;
  request.set_min_proxies(1);
  const auto reader = operator_->fleet->WatchRollout(&context, request);
  v1::RolloutStatus status;
  ASSERT_TRUE(reader->Read(&status));
  EXPECT_EQ(status.state(), v1::RolloutStatus::IN_PROGRESS);
  running_->Stop();
  EXPECT_FALSE(reader->Read(&status));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace portico::testing
