#include <algorithm>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/porticoctl/commands.h"
#include "tools/porticoctl/summary.h"

namespace portico::ctl {
namespace {

std::string LabelText(const google::protobuf::Map<std::string, std::string>& labels) {
  const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
  return absl::StrJoin(sorted, ",", absl::PairFormatter("="));
}

void PrintResources(const std::vector<v1::Resource>& resources, const Arguments& arguments,
                    OutputFormat format, std::ostream& out) {
  if (format == OutputFormat::kTable) {
    Table table({"KIND", "NAME", "SUMMARY", "LABELS"});
    for (const v1::Resource& resource : resources) {
      const api::ResourceKey key = api::KeyOf(resource);
      table.AddRow({key.kind, key.name, Summary(resource), LabelText(resource.labels())});
    }
    out << (table.empty() ? "no resources\n" : table.Format());
  } else if (format == OutputFormat::kYaml) {
    // Documents that `apply -f -` takes back.
    const char* separator = "";
    for (const v1::Resource& resource : resources) {
      out << separator << ResourceYaml(resource, arguments.show_secrets);
      separator = "---\n";
    }
  } else {
    Json list = Json::array();
    for (const v1::Resource& resource : resources) {
      list.push_back(ResourceJson(resource, arguments.show_secrets));
    }
    Print(list, format, out);
  }
}

bool HasLabels(const v1::Resource& resource, const std::map<std::string, std::string>& labels) {
  for (const auto& [name, value] : labels) {
    const auto found = resource.labels().find(name);
    if (found == resource.labels().end() || found->second != value) return false;
  }
  return true;
}

Json RevisionJson(const v1::RevisionInfo& info) {
  return {{"revision", info.revision()}, {"created_at", FormatTime(info.created_at().seconds())},
          {"author", info.author()},     {"message", info.message()},
          {"peer", info.peer()},         {"created", info.created()},
          {"updated", info.updated()},   {"deleted", info.deleted()},
          {"checksum", info.checksum()}};
}

}  // namespace

int RunGet(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  const OutputFormat format = arguments.output.value_or(OutputFormat::kYaml);
  v1::GetRequest request;
  request.mutable_key()->set_kind(arguments.kind);
  request.mutable_key()->set_name(arguments.names.front());
  request.set_revision(arguments.revision);
  v1::GetResponse response;
  const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
  const grpc::Status status = control_plane.config->Get(context.get(), request, &response);
  if (!status.ok()) {
    return ReportFailure(status, control_plane.server, Locations(), format, console);
  }
  if (format == OutputFormat::kJson) {
    Print(ResourceJson(response.resource(), arguments.show_secrets), format, console.out);
  } else {
    PrintResources({response.resource()}, arguments, format, console.out);
  }
  return kExitOk;
}

int RunList(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  const OutputFormat format = FormatOf(arguments);
  std::vector<v1::Resource> resources;
  v1::ListRequest request;
  request.set_kind(arguments.kind);
  request.set_revision(arguments.revision);
  do {
    v1::ListResponse response;
    const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
    const grpc::Status status = control_plane.config->List(context.get(), request, &response);
    if (!status.ok()) {
      return ReportFailure(status, control_plane.server, Locations(), format, console);
    }
    for (v1::Resource& resource : *response.mutable_resources()) {
      if (HasLabels(resource, arguments.labels)) resources.push_back(std::move(resource));
    }
    // All pages of the same revision, whatever is applied meanwhile.
    request.set_revision(response.revision());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  PrintResources(resources, arguments, format, console.out);
  return kExitOk;
}

int RunHistory(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  constexpr uint32_t kPage = 1000;
  const OutputFormat format = FormatOf(arguments);
  std::vector<v1::RevisionInfo> revisions;
  v1::ListRevisionsRequest request;
  bool more = true;
  while (more) {
    const uint32_t left = arguments.limit - static_cast<uint32_t>(revisions.size());
    request.set_page_size(arguments.limit == 0 ? kPage : std::min(left, kPage));
    v1::ListRevisionsResponse response;
    const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
    const grpc::Status status =
        control_plane.config->ListRevisions(context.get(), request, &response);
    if (!status.ok()) {
      return ReportFailure(status, control_plane.server, Locations(), format, console);
    }
    for (v1::RevisionInfo& info : *response.mutable_revisions()) {
      request.set_before_revision(info.revision());
      revisions.push_back(std::move(info));
    }
    more = static_cast<uint32_t>(response.revisions_size()) == request.page_size() &&
           request.before_revision() > 1 &&
           (arguments.limit == 0 || revisions.size() < arguments.limit);
  }
  if (format == OutputFormat::kTable) {
    Table table({"REVISION", "CREATED (UTC)", "CHANGES", "AUTHOR", "PEER", "MESSAGE"});
    for (const v1::RevisionInfo& info : revisions) {
      table.AddRow({absl::StrCat(info.revision()), FormatTime(info.created_at().seconds()),
                    absl::StrCat("+", info.created(), " ~", info.updated(), " -", info.deleted()),
                    info.author(), info.peer(), info.message()});
    }
    console.out << (table.empty() ? "no revisions\n" : table.Format());
    return kExitOk;
  }
  Json list = Json::array();
  for (const v1::RevisionInfo& info : revisions) list.push_back(RevisionJson(info));
  Print(list, format, console.out);
  return kExitOk;
}

}  // namespace portico::ctl
