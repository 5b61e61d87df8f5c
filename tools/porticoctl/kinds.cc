#include "tools/porticoctl/kinds.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/portico/v1/resource.pb.h"

namespace portico::ctl {
namespace {

// Lower case, without separators.
std::string Plain(const std::string& text) {
  std::string plain;
  for (const char c : text) {
    if (c != '-' && c != '_') plain += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  return plain;
}

std::string Plural(const std::string& singular) {
  if (singular.ends_with("y")) return absl::StrCat(singular.substr(0, singular.size() - 1), "ies");
  return absl::StrCat(singular, singular.ends_with("s") ? "es" : "s");
}

}  // namespace

std::vector<std::string> AllKinds() {
  std::vector<std::string> kinds;
  const google::protobuf::OneofDescriptor* spec =
      v1::Resource::descriptor()->FindOneofByName("spec");
  for (int i = 0; i < spec->field_count(); ++i) {
    kinds.push_back(spec->field(i)->message_type()->name());
  }
  return kinds;
}

std::string CanonicalKind(const std::string& text) {
  std::string wanted = Plain(text);
  if (wanted == "cert" || wanted == "certs") wanted = "certificate";
  for (std::string& kind : AllKinds()) {
    const std::string plain = Plain(kind);
    if (wanted == plain || wanted == Plural(plain)) return std::move(kind);
  }
  return "";
}

}  // namespace portico::ctl
