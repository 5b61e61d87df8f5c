#include <ostream>

#include "absl/strings/str_cat.h"
#include "tools/porticoctl/commands.h"

namespace portico::ctl {
namespace {

Json ChangesJson(const v1::ApplyResponse& response, bool dry_run) {
  Json changes = Json::array();
  for (const v1::Change& change : response.changes()) {
    changes.push_back({{"kind", change.key().kind()},
                       {"name", change.key().name()},
                       {"operation", OperationName(change.operation())}});
  }
  return {{"revision", response.revision()}, {"dry_run", dry_run}, {"changes", std::move(changes)}};
}

void PrintChanges(const v1::ApplyResponse& response, bool dry_run, std::ostream& out) {
  if (response.changes().empty()) {
    out << "nothing to change; revision " << response.revision() << " is current\n";
    return;
  }
  for (const v1::Change& change : response.changes()) {
    out << change.key().kind() << "/" << change.key().name() << " "
        << OperationName(change.operation()) << (dry_run ? " (dry run)" : "") << "\n";
  }
  const int count = response.changes_size();
  const std::string changes = absl::StrCat(count, count == 1 ? " change" : " changes");
  if (dry_run) {
    out << changes << ", nothing stored; revision " << response.revision() << " is current\n";
  } else {
    out << "revision " << response.revision() << ": " << changes << "\n";
  }
}

// What all changing verbs do with the answer.
int Finish(const grpc::Status& status, const v1::ApplyResponse& response,
           const Arguments& arguments, const Locations& locations, ControlPlane& control_plane,
           Console& console) {
  const OutputFormat format = FormatOf(arguments);
  if (!status.ok()) {
    return ReportFailure(status, control_plane.server, locations, format, console);
  }
  const bool dry_run = arguments.change.dry_run;
  PrintWarnings({response.warnings().begin(), response.warnings().end()}, console);
  if (format == OutputFormat::kTable) {
    PrintChanges(response, dry_run, console.out);
  } else {
    Print(ChangesJson(response, dry_run), format, console.out);
  }
  console.out.flush();
  if (!arguments.change.wait) return kExitOk;
  return WaitForRollout(response.revision(), arguments, control_plane, console);
}

// Fields that ApplyRequest and RollbackRequest share.
template <typename Request>
void SetWhoAndWhy(const ChangeOptions& change, Request& request) {
  request.set_expected_revision(change.expected_revision);
  request.set_dry_run(change.dry_run);
  request.set_message(change.message);
  request.set_author(change.author);
}

}  // namespace

int RunApply(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  int code = kExitOk;
  std::optional<LoadedResources> loaded = LoadFiles(arguments, console, code);
  if (!loaded) return code;
  v1::ApplyRequest request;
  for (v1::Resource& resource : loaded->resources) *request.add_upserts() = std::move(resource);
  SetWhoAndWhy(arguments.change, request);
  v1::ApplyResponse response;
  const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
  const grpc::Status status = control_plane.config->Apply(context.get(), request, &response);
  return Finish(status, response, arguments, loaded->locations, control_plane, console);
}

int RunCertificate(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  int code = kExitOk;
  std::optional<v1::Resource> resource = MakeCertificate(arguments, console, code);
  if (!resource) return code;
  // What people wrote beside it stays.
  v1::GetRequest get;
  get.mutable_key()->set_kind(std::string(api::KindOf(*resource)));
  get.mutable_key()->set_name(resource->name());
  v1::GetResponse stored;
  const auto get_context = MakeContext(TimeoutOf(arguments, kCallTimeout));
  const grpc::Status found = control_plane.config->Get(get_context.get(), get, &stored);
  if (found.ok()) {
    *resource->mutable_labels() = stored.resource().labels();
    resource->set_description(stored.resource().description());
  } else if (found.error_code() != grpc::StatusCode::NOT_FOUND) {
    return ReportFailure(found, control_plane.server, Locations(), FormatOf(arguments), console);
  }
  v1::ApplyRequest request;
  *request.add_upserts() = *std::move(resource);
  SetWhoAndWhy(arguments.change, request);
  v1::ApplyResponse response;
  const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
  const grpc::Status status = control_plane.config->Apply(context.get(), request, &response);
  return Finish(status, response, arguments, Locations(), control_plane, console);
}

int RunDelete(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  v1::ApplyRequest request;
  for (const std::string& name : arguments.names) {
    v1::ResourceKey& key = *request.add_deletions();
    key.set_kind(arguments.kind);
    key.set_name(name);
  }
  SetWhoAndWhy(arguments.change, request);
  v1::ApplyResponse response;
  const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
  const grpc::Status status = control_plane.config->Apply(context.get(), request, &response);
  return Finish(status, response, arguments, Locations(), control_plane, console);
}

int RunRollback(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  v1::RollbackRequest request;
  request.set_to_revision(arguments.revision);
  SetWhoAndWhy(arguments.change, request);
  v1::ApplyResponse response;
  const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
  const grpc::Status status = control_plane.config->Rollback(context.get(), request, &response);
  return Finish(status, response, arguments, Locations(), control_plane, console);
}

}  // namespace portico::ctl
