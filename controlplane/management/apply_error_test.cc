#include "controlplane/management/apply_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/portico/v1/config_service.pb.h"
#include "controlplane/management/status_details.pb.h"

namespace portico::control {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::vector<v1::Violation> Violations(int count, size_t reason_bytes = 10) {
  std::vector<v1::Violation> violations;
  for (int i = 0; i < count; ++i) {
    v1::Violation& violation = violations.emplace_back();
    violation.mutable_resource()->set_kind("Route");
    violation.mutable_resource()->set_name("r" + std::to_string(i));
    violation.set_field("spec.upstreams[0].name");
    violation.set_value("userz");
    violation.set_reason(std::string(reason_bytes, 'x'));
    violation.set_fix("did you mean \"users\"?");
  }
  return violations;
}

v1::ApplyError DetailsOf(const grpc::Status& status) {
  Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), static_cast<int>(status.error_code()));
  EXPECT_EQ(details.message(), status.error_message());
  EXPECT_EQ(details.details_size(), 1);
  v1::ApplyError error;
  EXPECT_TRUE(details.details(0).UnpackTo(&error));
  return error;
}

TEST(ToGrpcWithDetails, CarriesViolations) {
  const grpc::Status status = ToGrpcWithDetails(ViolationsError(Violations(2)));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("nothing was changed: 2 violations\nRoute/r0 "));
  EXPECT_THAT(status.error_message(), HasSubstr("\nRoute/r1 spec.upstreams[0].name"));
  EXPECT_THAT(status.error_message(), Not(HasSubstr("more")));
  const v1::ApplyError error = DetailsOf(status);
  ASSERT_EQ(error.violations_size(), 2);
  EXPECT_EQ(error.violations(1).fix(), "did you mean \"users\"?");
}

TEST(ToGrpcWithDetails, FitsWhatClientsAccept) {
  for (const size_t reason_bytes : {size_t{0}, size_t{10}, size_t{500}, size_t{20000}}) {
    const grpc::Status status = ToGrpcWithDetails(ViolationsError(Violations(1000, reason_bytes)));
    EXPECT_LT(status.error_message().size() + status.error_details().size(), kDefaultDetailBytes);
    EXPECT_THAT(status.error_message(), HasSubstr("1000 violations"));
    EXPECT_THAT(status.error_message(), HasSubstr("more"));
    EXPECT_LT(DetailsOf(status).violations_size(), 1000);
  }
}

TEST(ToGrpcWithDetails, GivesMoreToThoseWhoAsk) {
  const grpc::Status status =
      ToGrpcWithDetails(ViolationsError(Violations(1000)), DetailBytes("1000000"));
  EXPECT_EQ(DetailsOf(status).violations_size(), 1000);
}

TEST(ToGrpcWithDetails, LeavesOtherErrorsAlone) {
  const grpc::Status status = ToGrpcWithDetails(absl::NotFoundError("no such revision"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no such revision");
  EXPECT_TRUE(status.error_details().empty());
}

TEST(DetailBytes, IsBounded) {
  EXPECT_EQ(DetailBytes(""), kDefaultDetailBytes);
  EXPECT_EQ(DetailBytes("many"), kDefaultDetailBytes);
  EXPECT_EQ(DetailBytes("-1"), kDefaultDetailBytes);
  EXPECT_EQ(DetailBytes("1"), kDefaultDetailBytes);
  EXPECT_EQ(DetailBytes("100000"), 100000u);
  EXPECT_EQ(DetailBytes("99999999999999"), kMaxDetailBytes);
}

}  // namespace
}  // namespace portico::control
