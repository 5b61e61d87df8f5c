#include "controlplane/management/writer.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/resource/secrets.h"
#include "api/validation/validate.h"
#include "controlplane/management/apply_error.h"
#include "controlplane/model/log.h"

namespace portico::control {
namespace {

v1::Violation MakeViolation(const api::ResourceKey& key, std::string field, std::string value,
                            std::string reason, std::string fix) {
  v1::Violation violation;
  violation.mutable_resource()->set_kind(key.kind);
  violation.mutable_resource()->set_name(key.name);
  violation.set_field(std::move(field));
  violation.set_value(std::move(value));
  violation.set_reason(std::move(reason));
  violation.set_fix(std::move(fix));
  return violation;
}

absl::Status CheckTexts(const std::string& author, const std::string& message) {
  if (author.size() > kMaxAuthorBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("author: ", author.size(), " bytes, at most ", kMaxAuthorBytes));
  }
  if (message.size() > kMaxMessageBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("message: ", message.size(), " bytes, at most ", kMaxMessageBytes));
  }
  return absl::OkStatus();
}

absl::Status CheckExpected(uint64_t expected, uint64_t current) {
  if (expected == 0 || expected == current) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "expected_revision is ", expected, ", but the current revision is ", current,
      ": look at what changed since (Diff from ", expected, ") and try again with ", current));
}

// A request's resources by key; null for a deletion.
using Wanted = std::map<api::ResourceKey, api::StoredResourcePtr>;

// What can be said about a request without the current set.
Wanted ReadRequest(const v1::ApplyRequest& request, std::vector<v1::Violation>& violations) {
  Wanted wanted;
  const auto add = [&](api::ResourceKey key, api::StoredResourcePtr resource) {
    if (!wanted.try_emplace(key, std::move(resource)).second) {
      violations.push_back(MakeViolation(key, "name", key.name, "is named twice in this request",
                                         "send every resource once, as an upsert or a deletion"));
    }
  };
  for (const v1::Resource& resource : request.upserts()) {
    api::StoredResourcePtr stored = api::MakeStored(resource);
    api::ResourceKey key = api::KeyOf(stored->resource);
    if (key.kind.empty()) {
      violations.push_back(MakeViolation(key, "spec", "", "is missing",
                                         "set the settings of one kind, such as Route"));
      continue;
    }
    if (stored->content.size() > kMaxResourceBytes) {
      violations.push_back(MakeViolation(
          key, "spec", absl::StrCat(stored->content.size(), " bytes"),
          absl::StrCat("is larger than the ", kMaxResourceBytes, " bytes one resource may have"),
          "split it"));
      continue;
    }
    add(std::move(key), std::move(stored));
  }
  for (const v1::ResourceKey& key : request.deletions()) add({key.kind(), key.name()}, nullptr);
  return wanted;
}

// Only the control plane itself writes them.
bool IsOwnKind(const api::ResourceKey& key) { return key.kind == "SessionTicketKeys"; }

// What was read from here has "(redacted)" in place of secrets: they stay what they are.
void TakeBackSecrets(const api::StoredResourcePtr& before, api::StoredResourcePtr& resource) {
  if (before == nullptr || resource == nullptr || !api::HasRedacted(resource->resource)) return;
  v1::Resource whole = resource->resource;
  api::RestoreRedacted(before->resource, whole);
  resource = api::MakeStored(std::move(whole));
}

// What `wanted` changes in `set`.
std::vector<Change> Compare(Wanted wanted, const api::ResourceSet& set,
                            std::vector<v1::Violation>& violations) {
  std::vector<Change> changes;
  for (auto& [key, resource] : wanted) {
    const auto found = set.find(key);
    api::StoredResourcePtr before = found == set.end() ? nullptr : found->second;
    if (before == nullptr && resource == nullptr) {
      violations.push_back(MakeViolation(key, "name", key.name,
                                         "does not exist, so cannot be deleted",
                                         "check kind and name, or leave it out"));
      continue;
    }
    TakeBackSecrets(before, resource);
    if (before != nullptr && resource != nullptr && before->hash == resource->hash) continue;
    if (IsOwnKind(key)) {
      violations.push_back(MakeViolation(key, "kind", key.kind,
                                         "is written by the control plane alone",
                                         "leave it out; --ticket-key-rotation says how often the "
                                         "keys are replaced"));
      continue;
    }
    changes.push_back({key, std::move(before), std::move(resource)});
  }
  return changes;
}

}  // namespace

Writer::Writer(Catalog& catalog, const Clock& clock, Metrics& metrics)
    : catalog_(catalog), clock_(clock), metrics_(metrics) {
  const std::vector<v1::Violation> violations = api::Validate(*catalog.Head()->set);
  current_is_valid_ = violations.empty();
  if (!current_is_valid_) {
    LogWarning("management", "the stored revision ", catalog.Head()->info.revision, " has ",
               violations.size(), " violations, first: ", api::ToString(violations.front()));
  }
}

std::vector<v1::Violation> Writer::Check(const api::ResourceSet& before,
                                         const api::ResourceSet& after,
                                         const std::vector<Change>& changes) {
  return current_is_valid_ ? api::ValidateChange(before, after, KeysOf(changes))
                           : api::Validate(after);
}

// With mutex_ held.
absl::StatusOr<Writer::Outcome> Writer::Propose(std::vector<Change> changes, Intent intent) {
  const RevisionPtr head = catalog_.Head();
  if (changes.empty()) return Outcome{head->info.revision, {}};
  std::unique_ptr<api::ResourceSet> draft = catalog_.Draft(changes);
  const std::vector<v1::Violation> violations = Check(*head->set, *draft, changes);
  if (!violations.empty()) {
    catalog_.Abandon(std::move(draft), changes);
    return ViolationsError(violations);
  }
  std::vector<v1::Violation> warnings = WarningsAbout(changes);
  if (intent.dry_run) {
    catalog_.Abandon(std::move(draft), changes);
    return Outcome{head->info.revision, std::move(changes), std::move(warnings)};
  }
  RevisionInfo info = std::move(intent.info);
  info.revision = catalog_.NextRevision();
  info.created_at = clock_.Now();
  info.checksum = api::ChecksumOf(*draft);
  Count(changes, info);
  if (absl::Status status = catalog_.Commit(info, changes, std::move(draft)); !status.ok()) {
    return status;
  }
  current_is_valid_ = true;
  LogInfo("management", "revision ", info.revision, " by ", info.author.empty() ? "-" : info.author,
          info.peer.empty() ? "" : " as ", info.peer, ": ", info.created, " created, ",
          info.updated, " updated, ", info.deleted, " deleted");
  return Outcome{info.revision, std::move(changes), std::move(warnings)};
}

std::vector<v1::Violation> Writer::WarningsAbout(const std::vector<Change>& changes) const {
  std::vector<v1::Violation> warnings;
  for (const Change& change : changes) {
    if (change.after == nullptr) continue;
    for (v1::Violation& warning : api::WarningsAbout(change.after->resource, clock_.Now()))
      warnings.push_back(std::move(warning));
  }
  return warnings;
}

absl::StatusOr<Writer::Outcome> Writer::ApplyCounted(const v1::ApplyRequest& request,
                                                     const std::string& peer) {
  if (absl::Status status = CheckTexts(request.author(), request.message()); !status.ok()) {
    return status;
  }
  if (request.upserts_size() > kMaxUpserts || request.deletions_size() > kMaxUpserts) {
    return absl::ResourceExhaustedError(
        absl::StrCat("at most ", kMaxUpserts, " resources in one request: send several"));
  }
  std::vector<v1::Violation> violations;
  Wanted wanted = ReadRequest(request, violations);

  std::lock_guard lock(mutex_);
  if (absl::Status status = catalog_.Refresh(); !status.ok()) return status;
  const RevisionPtr head = catalog_.Head();
  if (absl::Status status = CheckExpected(request.expected_revision(), head->info.revision);
      !status.ok()) {
    return status;
  }
  std::vector<Change> changes = Compare(std::move(wanted), *head->set, violations);
  if (!violations.empty()) {
    // The caller gets to see everything at once.
    std::unique_ptr<api::ResourceSet> draft = catalog_.Draft(changes);
    const std::vector<v1::Violation> more = Check(*head->set, *draft, changes);
    catalog_.Abandon(std::move(draft), changes);
    violations.insert(violations.end(), more.begin(), more.end());
    return ViolationsError(violations);
  }
  Intent intent{request.dry_run(), {}};
  intent.info.author = request.author();
  intent.info.message = request.message();
  intent.info.peer = peer;
  return Propose(std::move(changes), std::move(intent));
}

absl::StatusOr<Writer::Outcome> Writer::RollbackCounted(const v1::RollbackRequest& request,
                                                        const std::string& peer) {
  if (absl::Status status = CheckTexts(request.author(), request.message()); !status.ok()) {
    return status;
  }
  const absl::StatusOr<RevisionPtr> target = catalog_.At(request.to_revision());
  if (!target.ok()) return target.status();

  std::lock_guard lock(mutex_);
  if (absl::Status status = catalog_.Refresh(); !status.ok()) return status;
  const RevisionPtr head = catalog_.Head();
  if (absl::Status status = CheckExpected(request.expected_revision(), head->info.revision);
      !status.ok()) {
    return status;
  }
  Intent intent{request.dry_run(), {}};
  intent.info.author = request.author();
  intent.info.message = request.message().empty()
                            ? absl::StrCat("rollback to revision ", request.to_revision())
                            : request.message();
  intent.info.peer = peer;
  std::vector<Change> changes = Diff(*head->set, *(*target)->set);
  // Old keys would make tickets that somebody may have had time to break.
  std::erase_if(changes, [](const Change& change) { return IsOwnKind(change.key); });
  return Propose(std::move(changes), std::move(intent));
}

absl::StatusOr<Writer::Outcome> Writer::PutOwn(v1::Resource resource, std::string message) {
  api::StoredResourcePtr stored = api::MakeStored(std::move(resource));
  Change change{api::KeyOf(stored->resource), nullptr, std::move(stored)};
  std::lock_guard lock(mutex_);
  if (absl::Status status = catalog_.Refresh(); !status.ok()) return status;
  const RevisionPtr head = catalog_.Head();
  if (const auto found = head->set->find(change.key); found != head->set->end())
    change.before = found->second;
  Intent intent{false, {}};
  intent.info.author = kOwnAuthor;
  intent.info.message = std::move(message);
  return Propose({std::move(change)}, std::move(intent));
}

void Writer::CountResult(const absl::StatusOr<Outcome>& outcome, bool dry_run) {
  using Result = Metrics::ApplyResult;
  Result result = Result::kError;
  if (outcome.ok()) {
    result = dry_run                    ? Result::kDryRun
             : outcome->changes.empty() ? Result::kUnchanged
                                        : Result::kAccepted;
  } else if (outcome.status().code() == absl::StatusCode::kInvalidArgument) {
    result = Result::kInvalid;
  } else if (outcome.status().code() == absl::StatusCode::kFailedPrecondition) {
    result = Result::kConflict;
  }
  metrics_.CountApply(result);
}

absl::StatusOr<Writer::Outcome> Writer::Apply(const v1::ApplyRequest& request,
                                              const std::string& peer) {
  absl::StatusOr<Outcome> outcome = ApplyCounted(request, peer);
  CountResult(outcome, request.dry_run());
  return outcome;
}

absl::StatusOr<Writer::Outcome> Writer::Rollback(const v1::RollbackRequest& request,
                                                 const std::string& peer) {
  absl::StatusOr<Outcome> outcome = RollbackCounted(request, peer);
  CountResult(outcome, request.dry_run());
  return outcome;
}

}  // namespace portico::control
