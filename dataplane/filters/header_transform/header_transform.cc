#include "dataplane/filters/header_transform/header_transform.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "api/resource/http_syntax.h"
#include "api/resource/strings.h"

namespace portico::filters {
namespace {

absl::Status CheckName(const std::string& field, const std::string& name) {
  if (!api::IsToken(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": \"", name, "\" is no field name; use letters, digits and \"-\""));
  }
  if (api::IsReservedField(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": \"", name, "\" frames the message or is set by Portico; remove it"));
  }
  return absl::OkStatus();
}

template <typename Values>
absl::StatusOr<std::vector<HeaderEdit>> CompileValues(const std::string& field, const Values& values) {
  std::vector<HeaderEdit> edits;
  for (int i = 0; i < values.size(); ++i) {
    const std::string at = absl::StrCat(field, "[", i, "]");
    if (absl::Status status = CheckName(absl::StrCat(at, ".name"), values[i].name()); !status.ok()) return status;
    if (!api::IsFieldValue(values[i].value())) {
      return absl::InvalidArgumentError(
          absl::StrCat(at, ".value: holds characters that header fields may not; remove them"));
    }
    absl::StatusOr<std::vector<api::HeaderPart>> parts = api::ParseHeaderTemplate(values[i].value());
    if (!parts.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(at, ".value: \"", values[i].value(), "\" ", parts.status().message()));
    }
    edits.emplace_back(values[i].name(), ValueTemplate(*std::move(parts)));
  }
  return edits;
}

absl::StatusOr<HeaderEdits> CompileEdits(const std::string& field, const v1::HeaderEdits& spec) {
  HeaderEdits edits;
  for (int i = 0; i < spec.remove_size(); ++i) {
    const absl::Status status = CheckName(absl::StrCat(field, ".remove[", i, "]"), spec.remove(i));
    if (!status.ok()) return status;
    edits.remove.Add(spec.remove(i));
  }
  absl::StatusOr<std::vector<HeaderEdit>> set = CompileValues(field + ".set", spec.set());
  if (!set.ok()) return set.status();
  absl::StatusOr<std::vector<HeaderEdit>> add = CompileValues(field + ".add", spec.add());
  if (!add.ok()) return add.status();
  edits.set = *std::move(set);
  edits.add = *std::move(add);
  return edits;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Transform>> MakeTransform(const v1::HeaderTransform& spec) {
  absl::StatusOr<HeaderEdits> request = CompileEdits("spec.request", spec.request());
  if (!request.ok()) return request.status();
  absl::StatusOr<HeaderEdits> response = CompileEdits("spec.response", spec.response());
  if (!response.ok()) return response.status();
  return std::make_shared<const Transform>(Transform{*std::move(request), *std::move(response)});
}

std::optional<snapshot::LocalReply> HeaderTransformPolicy::OnRequest(snapshot::PolicyContext& context) const {
  for (const std::shared_ptr<const Transform>& transform : transforms_) {
    transform->request.Apply(context, context.request.headers);
  }
  return std::nullopt;
}

void HeaderTransformPolicy::OnResponse(snapshot::PolicyContext& context, http::ResponseHead& head) const {
  for (auto transform = transforms_.rbegin(); transform != transforms_.rend(); ++transform) {
    (*transform)->response.Apply(context, head.headers);
  }
}

absl::Status HeaderTransformBuilder::BeginSnapshot(const api::ResourceSet& resources) {
  changed_.clear();
  std::map<std::string, Known, std::less<>> transforms;
  for (auto at = resources.lower_bound(api::ResourceKey{"HeaderTransform", ""});
       at != resources.end() && at->first.kind == "HeaderTransform"; ++at) {
    const std::string& name = at->first.name;
    const auto known = transforms_.find(name);
    if (known != transforms_.end() && known->second.hash == at->second->hash) {
      transforms.insert(*known);
      continue;
    }
    absl::StatusOr<std::shared_ptr<const Transform>> transform =
        MakeTransform(at->second->resource.header_transform());
    if (!transform.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("HeaderTransform/", name, " ", transform.status().message()));
    }
    transforms.emplace(name, Known{at->second->hash, *std::move(transform)});
    changed_.insert(name);
  }
  transforms_ = std::move(transforms);
  if (!changed_.empty()) policies_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const snapshot::Policy>> HeaderTransformBuilder::Build(
    const api::StoredResource& route) {
  const auto& names = route.resource.route().header_transforms();
  if (names.empty()) return std::shared_ptr<const snapshot::Policy>();
  std::shared_ptr<const snapshot::Policy>& policy = policies_[std::vector<std::string>(names.begin(), names.end())];
  if (policy != nullptr) return policy;
  std::vector<std::shared_ptr<const Transform>> transforms;
  for (const std::string& name : names) {
    const auto known = transforms_.find(name);
    if (known == transforms_.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("spec.header_transforms: \"", name, "\" is no HeaderTransform of this revision; add it"));
    }
    transforms.push_back(known->second.transform);
  }
  policy = std::make_shared<const HeaderTransformPolicy>(std::move(transforms));
  return policy;
}

bool HeaderTransformBuilder::Affected(const api::StoredResource& route) const {
  if (changed_.empty()) return false;
  const auto& names = route.resource.route().header_transforms();
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return changed_.count(name) != 0; });
}

}  // namespace portico::filters
