// Every file under deploy/examples is accepted by itself and survives being written out again; the
// YAML blocks of docs/configuration.md are accepted together.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "api/resource/resource.h"
#include "api/resource/test_certificates.h"
#include "api/resource/text.h"
#include "api/validation/validate.h"
#include "gtest/gtest.h"

namespace portico::api {
namespace {

std::vector<std::string>& Files() {
  static std::vector<std::string> files;
  return files;
}

std::string Read(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Examples have "..." where a PEM text belongs: no key lies in the tree.
void FillIn(v1::Resource& resource) {
  static const TestPair pair =
      MakeTestCertificate({.subject = "example", .dns_names = {"shop.example.com"}});
  if (resource.has_certificate()) {
    EXPECT_NE(resource.certificate().private_key().find("\n...\n"), std::string::npos);
    resource.mutable_certificate()->set_chain(pair.certificate);
    resource.mutable_certificate()->set_private_key(pair.key);
  } else if (resource.has_ca_bundle()) {
    EXPECT_NE(resource.ca_bundle().certificates().find("\n...\n"), std::string::npos);
    resource.mutable_ca_bundle()->set_certificates(pair.certificate);
  }
}

TEST(Examples, AreAccepted) {
  int seen = 0;
  for (const std::string& path : Files()) {
    if (!absl::EndsWith(path, ".yaml")) continue;
    ++seen;
    absl::StatusOr<std::vector<v1::Resource>> resources = ParseResources(Read(path), path);
    ASSERT_TRUE(resources.ok()) << resources.status();
    ResourceSet set;
    for (v1::Resource& resource : *resources) {
      FillIn(resource);
      StoredResourcePtr stored = MakeStored(resource);
      absl::StatusOr<std::vector<v1::Resource>> again = ParseResources(ToYaml(resource), "written");
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_EQ(MakeStored(again->at(0))->content, stored->content) << ToYaml(resource);
      set[KeyOf(stored->resource)] = stored;
    }
    for (const v1::Violation& violation : Validate(set))
      ADD_FAILURE() << path << ": " << ToString(violation);
  }
  EXPECT_GE(seen, 7);
}

TEST(Examples, BlocksOfTheReferenceAreAcceptedTogether) {
  ResourceSet set;
  for (const std::string& path : Files()) {
    if (!absl::EndsWith(path, ".md")) continue;
    const std::vector<std::string> parts = absl::StrSplit(Read(path), "```");
    for (size_t i = 1; i < parts.size(); i += 2) {
      if (!absl::StartsWith(parts[i], "yaml\nkind:")) continue;
      absl::StatusOr<std::vector<v1::Resource>> resources =
          ParseResources(parts[i].substr(5), path);
      ASSERT_TRUE(resources.ok()) << resources.status() << parts[i];
      for (v1::Resource& resource : *resources) {
        FillIn(resource);
        StoredResourcePtr stored = MakeStored(resource);
        EXPECT_TRUE(set.emplace(KeyOf(resource), stored).second)
            << ToString(KeyOf(resource)) << " is there twice";
      }
    }
  }
  EXPECT_GE(set.size(), 9u);
  for (const v1::Violation& violation : Validate(set)) ADD_FAILURE() << ToString(violation);
}

}  // namespace
}  // namespace portico::api

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) portico::api::Files().emplace_back(argv[i]);
  return RUN_ALL_TESTS();
}
