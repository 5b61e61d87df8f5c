#include "api/resource/resource.h"

#include <string>

#include "gtest/gtest.h"

namespace portico::api {
namespace {

v1::Resource RouteNamed(const std::string& name) {
  v1::Resource resource;
  resource.set_name(name);
  resource.mutable_route()->mutable_match()->mutable_path()->set_prefix("/");
  return resource;
}

TEST(Sha256, KnownAnswers) {
  // FIPS 180-4 examples.
  EXPECT_EQ(ToHex(Sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ToHex(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(KindOf, EveryKindHasTheNameOfItsMessage) {
  const auto* spec = v1::Resource::descriptor()->FindOneofByName("spec");
  ASSERT_NE(spec, nullptr);
  for (int i = 0; i < spec->field_count(); ++i) {
    v1::Resource resource;
    resource.set_name("x");
    resource.GetReflection()->MutableMessage(&resource, spec->field(i));
    EXPECT_EQ(KindOf(resource), spec->field(i)->message_type()->name());
    EXPECT_EQ(ToString(KeyOf(resource)), spec->field(i)->message_type()->name() + "/x");
  }
  EXPECT_EQ(KindOf(v1::Resource()), "");
}

TEST(Stored, HashDoesNotDependOnMapOrder) {
  v1::Resource one = RouteNamed("r");
  v1::Resource two = RouteNamed("r");
  for (int i = 0; i < 50; ++i) (*one.mutable_labels())["k" + std::to_string(i)] = "v";
  for (int i = 49; i >= 0; --i) (*two.mutable_labels())["k" + std::to_string(i)] = "v";
  EXPECT_EQ(MakeStored(one)->hash, MakeStored(two)->hash);
  EXPECT_EQ(MakeStored(one)->content, MakeStored(two)->content);
}

TEST(Stored, ParsesWhatItMade) {
  StoredResourcePtr made = MakeStored(RouteNamed("users"));
  absl::StatusOr<StoredResourcePtr> parsed = ParseStored({"Route", "users"}, made->content);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ((*parsed)->hash, made->hash);
  EXPECT_EQ((*parsed)->resource.route().match().path().prefix(), "/");
}

TEST(Stored, RefusesWhatIsNotTheResource) {
  StoredResourcePtr made = MakeStored(RouteNamed("users"));
  EXPECT_FALSE(ParseStored({"Route", "orders"}, made->content).ok());
  EXPECT_FALSE(ParseStored({"Upstream", "users"}, made->content).ok());
  EXPECT_FALSE(ParseStored({"Route", "users"}, "\xff\xff\xff").ok());
  v1::Resource no_spec;
  no_spec.set_name("users");
  EXPECT_FALSE(ParseStored({"", "users"}, no_spec.SerializeAsString()).ok());
}

TEST(Checksum, IsTheConcatenationThatTheWireDescribes) {
  ResourceSet set;
  std::string expected;
  for (const char* name : {"a", "b"}) {
    StoredResourcePtr stored = MakeStored(RouteNamed(name));
    set[KeyOf(stored->resource)] = stored;
    expected += std::string("Route") + '\0' + name + '\0';
    expected.append(reinterpret_cast<const char*>(stored->hash.data()), stored->hash.size());
  }
  EXPECT_EQ(ChecksumOf(set), Sha256(expected));
  EXPECT_EQ(ChecksumOf({}), Sha256(""));
}

}  // namespace
}  // namespace portico::api
