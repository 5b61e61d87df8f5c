#include <ostream>

#include "tools/porticoctl/commands.h"
#include "tools/porticoctl/text_diff.h"

namespace portico::ctl {
namespace {

using Changes = google::protobuf::RepeatedPtrField<v1::Change>;

void PrintDiff(const Changes& changes, OutputFormat format, std::ostream& out) {
  if (format == OutputFormat::kTable) {
    if (changes.empty()) out << "no difference\n";
    for (const v1::Change& change : changes) {
      const std::string before =
          change.has_before() ? ResourceYaml(change.before(), /*show_secrets=*/false) : "";
      const std::string after =
          change.has_after() ? ResourceYaml(change.after(), /*show_secrets=*/false) : "";
      const std::string lines = LineDiff(before, after);
      out << change.key().kind() << "/" << change.key().name() << " "
          << OperationName(change.operation()) << "\n"
          << (lines.empty() ? "  only a secret differs\n" : lines);
    }
    return;
  }
  Json list = Json::array();
  for (const v1::Change& change : changes) {
    Json item = {{"kind", change.key().kind()},
                 {"name", change.key().name()},
                 {"operation", OperationName(change.operation())}};
    if (change.has_before()) item["before"] = ResourceJson(change.before(), false);
    if (change.has_after()) item["after"] = ResourceJson(change.after(), false);
    list.push_back(std::move(item));
  }
  Print(list, format, out);
}

// What an Apply of the files would change.
int DiffFiles(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  int code = kExitOk;
  std::optional<LoadedResources> loaded = LoadFiles(arguments, console, code);
  if (!loaded) return code;
  v1::ApplyRequest request;
  request.set_dry_run(true);
  for (v1::Resource& resource : loaded->resources) *request.add_upserts() = std::move(resource);
  v1::ApplyResponse response;
  const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
  const grpc::Status status = control_plane.config->Apply(context.get(), request, &response);
  if (!status.ok()) {
    return ReportFailure(status, control_plane.server, loaded->locations, FormatOf(arguments),
                         console);
  }
  PrintDiff(response.changes(), FormatOf(arguments), console.out);
  return kExitOk;
}

}  // namespace

int RunDiff(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  if (!arguments.files.empty()) return DiffFiles(arguments, control_plane, console);
  v1::DiffRequest request;
  request.set_from_revision(arguments.revisions.front());
  if (arguments.revisions.size() > 1) request.set_to_revision(arguments.revisions.back());
  v1::DiffResponse response;
  const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
  const grpc::Status status = control_plane.config->Diff(context.get(), request, &response);
  if (!status.ok()) {
    return ReportFailure(status, control_plane.server, Locations(), FormatOf(arguments), console);
  }
  PrintDiff(response.changes(), FormatOf(arguments), console.out);
  return kExitOk;
}

}  // namespace portico::ctl
