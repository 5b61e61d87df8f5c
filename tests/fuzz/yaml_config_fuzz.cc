// Configuration text, from its bytes to a verdict: no crash, what is read can be written and read
// again, and a change is judged like the whole.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/resource/resource.h"
#include "api/resource/text.h"
#include "api/validation/validate.h"
#include "dataplane/base/check.h"

namespace {

namespace api = portico::api;

void CheckRoundTrip(const portico::v1::Resource& resource) {
  const std::string content = api::MakeStored(resource)->content;
  for (const std::string& text : {api::ToYaml(resource), api::ToJson(resource, true)}) {
    const auto again = api::ParseResources(text, "again");
    PORTICO_CHECK(again.ok());
    PORTICO_CHECK(again->size() == 1);
    PORTICO_CHECK(api::MakeStored(again->front())->content == content);
  }
  api::ToYaml(api::Redacted(resource));
}

std::string Text(const std::vector<portico::v1::Violation>& violations) {
  std::string text;
  for (const portico::v1::Violation& violation : violations) {
    PORTICO_CHECK(!violation.reason().empty() && violation.value().size() <= 128);
    text += api::ToString(violation) + "\n";
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto resources = api::ParseResources(text, "fuzz.yaml");
  if (!resources.ok()) {
    PORTICO_CHECK(!resources.status().message().empty());
    return 0;
  }
  api::ResourceSet set;
  std::set<api::ResourceKey> keys;
  for (const portico::v1::Resource& resource : *resources) {
    CheckRoundTrip(resource);
    const api::StoredResourcePtr stored = api::MakeStored(resource);
    PORTICO_CHECK(api::ParseStored(api::KeyOf(resource), stored->content).ok());
    keys.insert(api::KeyOf(resource));
    set[api::KeyOf(resource)] = stored;
  }
  PORTICO_CHECK(Text(api::Validate(set)) == Text(api::ValidateChange({}, set, keys)));
  return 0;
}
