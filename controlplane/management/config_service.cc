#include "controlplane/management/config_service.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/resource/near.h"
#include "api/resource/secrets.h"
#include "controlplane/management/apply_error.h"
#include "controlplane/management/peer.h"
#include "controlplane/model/grpc_status.h"

namespace portico::control {
namespace {

constexpr uint32_t kDefaultPage = 1000;
constexpr uint32_t kMaxPage = 10'000;
constexpr uint32_t kDefaultRevisions = 50;
constexpr uint32_t kMaxRevisions = 1000;

grpc::Status BadField(const std::string& what) {
  return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, what);
}

// Where a page starts: after `after`, in `revision`.
struct PageToken {
  uint64_t revision = 0;
  api::ResourceKey after;
};

std::string Encode(const PageToken& token) {
  return absl::WebSafeBase64Escape(
      absl::StrCat(token.revision, "/", token.after.kind, "/", token.after.name));
}

std::optional<PageToken> Decode(const std::string& text) {
  std::string plain;
  if (!absl::WebSafeBase64Unescape(text, &plain)) return std::nullopt;
  const size_t first = plain.find('/');
  const size_t second = first == std::string::npos ? first : plain.find('/', first + 1);
  if (second == std::string::npos) return std::nullopt;
  PageToken token;
  if (!absl::SimpleAtoi(plain.substr(0, first), &token.revision)) return std::nullopt;
  token.after = {plain.substr(first + 1, second - first - 1), plain.substr(second + 1)};
  return token;
}

// As it may leave the control plane: nobody reads a private key back.
void Show(const api::StoredResource& stored, v1::Resource& out) {
  out = stored.resource;
  api::RedactKeys(out);
}

void AddChanges(const std::vector<Change>& changes, size_t max_bytes,
                google::protobuf::RepeatedPtrField<v1::Change>& out) {
  size_t bytes = 0;
  out.Reserve(static_cast<int>(changes.size()));
  for (const Change& change : changes) {
    v1::Change& proto = *out.Add();
    proto.mutable_key()->set_kind(change.key.kind);
    proto.mutable_key()->set_name(change.key.name);
    proto.set_operation(change.before == nullptr  ? v1::Change::CREATED
                        : change.after == nullptr ? v1::Change::DELETED
                                                  : v1::Change::UPDATED);
    bytes += change.before == nullptr ? 0 : change.before->content.size();
    bytes += change.after == nullptr ? 0 : change.after->content.size();
    if (bytes > max_bytes) continue;
    if (change.before != nullptr) Show(*change.before, *proto.mutable_before());
    if (change.after != nullptr) Show(*change.after, *proto.mutable_after());
  }
}

grpc::Status Answer(const grpc::ServerContext& context,
                    const absl::StatusOr<Writer::Outcome>& outcome, v1::ApplyResponse& response) {
  if (!outcome.ok()) {
    const auto& metadata = context.client_metadata();
    const auto wanted = metadata.find(kDetailBytesKey);
    const std::string_view value =
        wanted == metadata.end() ? std::string_view()
                                 : std::string_view(wanted->second.data(), wanted->second.size());
    return ToGrpcWithDetails(outcome.status(), DetailBytes(value));
  }
  response.set_revision(outcome->revision);
  AddChanges(outcome->changes, kMaxAnswerBytes, *response.mutable_changes());
  response.mutable_warnings()->Assign(outcome->warnings.begin(), outcome->warnings.end());
  return grpc::Status::OK;
}

grpc::Status NotFound(const api::ResourceKey& key, const Revision& revision) {
  api::NearestName nearest(key.name);
  for (auto it = revision.set->lower_bound({key.kind, ""});
       it != revision.set->end() && it->first.kind == key.kind; ++it) {
    nearest.Consider(it->first.name);
  }
  const std::string hint =
      nearest.name().empty() ? "" : absl::StrCat(": did you mean \"", nearest.name(), "\"?");
  return grpc::Status(
      grpc::StatusCode::NOT_FOUND,
      absl::StrCat("no ", api::ToString(key), " in revision ", revision.info.revision, hint));
}

}  // namespace

absl::StatusOr<RevisionPtr> ConfigServiceImpl::RevisionOf(uint64_t number) {
  return number == 0 ? catalog_.Head() : catalog_.At(number);
}

grpc::Status ConfigServiceImpl::Apply(grpc::ServerContext* context, const v1::ApplyRequest* request,
                                      v1::ApplyResponse* response) {
  if (grpc::Status status = operators_.Check(*context); !status.ok()) return status;
  return Answer(*context, writer_.Apply(*request, PeerName(*context)), *response);
}

grpc::Status ConfigServiceImpl::Rollback(grpc::ServerContext* context,
                                         const v1::RollbackRequest* request,
                                         v1::ApplyResponse* response) {
  if (grpc::Status status = operators_.Check(*context); !status.ok()) return status;
  if (request->to_revision() == 0) return BadField("to_revision: is required");
  return Answer(*context, writer_.Rollback(*request, PeerName(*context)), *response);
}

grpc::Status ConfigServiceImpl::Get(grpc::ServerContext* context, const v1::GetRequest* request,
                                    v1::GetResponse* response) {
  if (grpc::Status status = operators_.Check(*context); !status.ok()) return status;
  const api::ResourceKey key{request->key().kind(), request->key().name()};
  if (key.kind.empty() || key.name.empty()) return BadField("key: kind and name are required");
  const absl::StatusOr<RevisionPtr> revision = RevisionOf(request->revision());
  if (!revision.ok()) return ToGrpc(revision.status());
  const auto found = (*revision)->set->find(key);
  if (found == (*revision)->set->end()) return NotFound(key, **revision);
  Show(*found->second, *response->mutable_resource());
  response->set_revision((*revision)->info.revision);
  return grpc::Status::OK;
}

grpc::Status ConfigServiceImpl::List(grpc::ServerContext* context, const v1::ListRequest* request,
                                     v1::ListResponse* response) {
  if (grpc::Status status = operators_.Check(*context); !status.ok()) return status;
  if (request->page_size() > kMaxPage) {
    return BadField(absl::StrCat("page_size: ", request->page_size(), " is above ", kMaxPage));
  }
  PageToken token{request->revision(), {request->kind(), ""}};
  if (!request->page_token().empty()) {
    const std::optional<PageToken> decoded = Decode(request->page_token());
    const bool same = decoded.has_value() &&
                      (request->revision() == 0 || request->revision() == decoded->revision) &&
                      (request->kind().empty() || request->kind() == decoded->after.kind);
    if (!same) {
      return BadField(
          "page_token: not from an earlier answer to the same request: start anew without");
    }
    token = *decoded;
  }
  const absl::StatusOr<RevisionPtr> revision = RevisionOf(token.revision);
  if (!revision.ok()) return ToGrpc(revision.status());
  const api::ResourceSet& set = *(*revision)->set;
  response->set_revision((*revision)->info.revision);
  const size_t page = request->page_size() == 0 ? kDefaultPage : request->page_size();
  size_t bytes = 0;
  size_t count = 0;
  // No name is empty, so upper_bound also finds the first of a kind.
  for (auto it = set.upper_bound(token.after); it != set.end(); ++it) {
    if (!request->kind().empty() && it->first.kind != request->kind()) break;
    bytes += it->second->content.size() + 16;
    if (count == page || (count > 0 && bytes > kMaxAnswerBytes)) {
      response->set_next_page_token(Encode({(*revision)->info.revision, std::prev(it)->first}));
      break;
    }
    Show(*it->second, *response->add_resources());
    ++count;
  }
  return grpc::Status::OK;
}

grpc::Status ConfigServiceImpl::Diff(grpc::ServerContext* context, const v1::DiffRequest* request,
                                     v1::DiffResponse* response) {
  if (grpc::Status status = operators_.Check(*context); !status.ok()) return status;
  const absl::StatusOr<RevisionPtr> from = catalog_.At(request->from_revision());
  if (!from.ok()) return ToGrpc(from.status());
  const absl::StatusOr<RevisionPtr> to = RevisionOf(request->to_revision());
  if (!to.ok()) return ToGrpc(to.status());
  response->set_from_revision((*from)->info.revision);
  response->set_to_revision((*to)->info.revision);
  AddChanges(control::Diff(*(*from)->set, *(*to)->set), kMaxDiffBytes,
             *response->mutable_changes());
  return grpc::Status::OK;
}

grpc::Status ConfigServiceImpl::ListRevisions(grpc::ServerContext* context,
                                              const v1::ListRevisionsRequest* request,
                                              v1::ListRevisionsResponse* response) {
  if (grpc::Status status = operators_.Check(*context); !status.ok()) return status;
  if (request->page_size() > kMaxRevisions) {
    return BadField(absl::StrCat("page_size: ", request->page_size(), " is above ", kMaxRevisions));
  }
  const absl::StatusOr<std::vector<RevisionInfo>> infos =
      catalog_.ListRevisions(request->before_revision(),
                             request->page_size() == 0 ? kDefaultRevisions : request->page_size());
  if (!infos.ok()) return ToGrpc(infos.status());
  for (const RevisionInfo& info : *infos) *response->add_revisions() = ToProto(info);
  return grpc::Status::OK;
}

}  // namespace portico::control
