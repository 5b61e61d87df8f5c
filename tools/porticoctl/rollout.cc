#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/validation/validate.h"
#include "tools/porticoctl/commands.h"

namespace portico::ctl {
namespace {

std::string StateName(v1::RolloutStatus::State state) {
  switch (state) {
    case v1::RolloutStatus::IN_PROGRESS:
      return "in_progress";
    case v1::RolloutStatus::LIVE:
      return "live";
    case v1::RolloutStatus::REJECTED:
      return "rejected";
    default:
      return "unknown";
  }
}

Json ProxyJson(const v1::ProxyStatus& proxy) {
  Json rejections = Json::array();
  for (const v1::Violation& violation : proxy.rejections()) {
    rejections.push_back(api::ToString(violation));
  }
  return {
      {"node_id", proxy.node_id()},
      {"labels", std::map<std::string, std::string>(proxy.labels().begin(), proxy.labels().end())},
      {"build", proxy.build()},
      {"connected", proxy.connected()},
      {"address", proxy.address()},
      {"received_revision", proxy.received_revision()},
      {"applied_revision", proxy.applied_revision()},
      {"rejected_revision", proxy.rejected_revision()},
      {"rejections", std::move(rejections)},
      {"applied_at", FormatTime(proxy.applied_at().seconds())},
      {"behind_seconds", proxy.behind_for().seconds()},
      {"last_seen", FormatTime(proxy.last_seen().seconds())}};
}

Json StatusJson(const v1::RolloutStatus& status) {
  Json waiting = Json::array();
  for (const v1::ProxyStatus& proxy : status.waiting()) waiting.push_back(ProxyJson(proxy));
  return {{"revision", status.revision()},
          {"state", StateName(status.state())},
          {"connected", status.connected()},
          {"applied", status.applied()},
          {"waiting", std::move(waiting)}};
}

std::string Proxies(uint32_t count) {
  return absl::StrCat(count, count == 1 ? " proxy" : " proxies");
}

// "revision 7: applied on 1 of 2 proxies, waiting for proxy-2 (has 6)"
std::string Progress(const v1::RolloutStatus& status) {
  std::vector<std::string> waiting;
  for (const v1::ProxyStatus& proxy : status.waiting()) {
    waiting.push_back(absl::StrCat(proxy.node_id(),
                                   proxy.connected() ? " (has " : " (not connected, has ",
                                   proxy.applied_revision(), ")"));
  }
  std::string text = absl::StrCat("revision ", status.revision(), ": applied on ", status.applied(),
                                  " of ", Proxies(status.connected()));
  if (!waiting.empty()) {
    absl::StrAppend(&text, ", waiting for ", absl::StrJoin(waiting, ", "));
  }
  return text;
}

void PrintRejections(const v1::RolloutStatus& status, std::ostream& err) {
  for (const v1::ProxyStatus& proxy : status.waiting()) {
    if (proxy.rejected_revision() == 0) continue;
    for (const v1::Violation& violation : proxy.rejections()) {
      err << proxy.node_id() << ": " << api::ToString(violation) << "\n";
    }
    err << "porticoctl: " << proxy.node_id() << " rejected revision " << proxy.rejected_revision()
        << " and keeps serving revision " << proxy.applied_revision() << "\n";
  }
}

// Prints the last state of a watch and turns it into an exit code.
int Conclude(const v1::RolloutStatus& last, OutputFormat format, Console& console) {
  if (format != OutputFormat::kTable) Print(StatusJson(last), format, console.out);
  if (last.state() == v1::RolloutStatus::REJECTED) {
    PrintRejections(last, console.err);
    return kExitRollout;
  }
  if (format == OutputFormat::kTable && last.state() == v1::RolloutStatus::LIVE) {
    console.out << "revision " << last.revision() << " is live on " << Proxies(last.applied())
                << "\n";
  }
  return kExitOk;
}

}  // namespace

int WaitForRollout(uint64_t revision, const Arguments& arguments, ControlPlane& control_plane,
                   Console& console) {
  const OutputFormat format = FormatOf(arguments);
  const absl::Duration timeout = TimeoutOf(arguments, kWaitTimeout);
  v1::WatchRolloutRequest request;
  request.set_revision(revision);
  request.set_min_proxies(arguments.min_proxies);
  const auto context = MakeContext(timeout);
  const auto reader = control_plane.fleet->WatchRollout(context.get(), request);
  v1::RolloutStatus last;
  std::string shown;
  while (reader->Read(&last)) {
    if (last.state() != v1::RolloutStatus::IN_PROGRESS) continue;
    std::string progress = Progress(last);
    if (format == OutputFormat::kTable && progress != shown) {
      console.out << progress << std::endl;
      shown = std::move(progress);
    }
  }
  const grpc::Status status = reader->Finish();
  if (last.state() == v1::RolloutStatus::LIVE || last.state() == v1::RolloutStatus::REJECTED) {
    return Conclude(last, format, console);
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
      last.state() == v1::RolloutStatus::IN_PROGRESS) {
    if (format != OutputFormat::kTable) Print(StatusJson(last), format, console.out);
    console.err << "porticoctl: not live after " << absl::FormatDuration(timeout) << ": "
                << Progress(last);
    if (last.connected() < arguments.min_proxies) {
      console.err << "; at least " << arguments.min_proxies << " are wanted";
    }
    console.err << "; see porticoctl fleet\n";
    return kExitRollout;
  }
  if (status.ok()) {
    console.err << "porticoctl: the control plane stopped reporting: " << Progress(last) << "\n";
    return kExitRollout;
  }
  return ReportFailure(status, control_plane.server, Locations(), format, console);
}

int RunRollout(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  if (arguments.wait) {
    return WaitForRollout(arguments.revision, arguments, control_plane, console);
  }
  const OutputFormat format = FormatOf(arguments);
  v1::WatchRolloutRequest request;
  request.set_revision(arguments.revision);
  request.set_min_proxies(arguments.min_proxies);
  const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
  const auto reader = control_plane.fleet->WatchRollout(context.get(), request);
  v1::RolloutStatus now;
  const bool answered = reader->Read(&now);
  if (answered) context->TryCancel();
  const grpc::Status status = reader->Finish();
  if (!answered) {
    return ReportFailure(status, control_plane.server, Locations(), format, console);
  }
  if (format == OutputFormat::kTable && now.state() == v1::RolloutStatus::IN_PROGRESS) {
    console.out << Progress(now) << "\n";
  }
  return Conclude(now, format, console);
}

int RunFleet(const Arguments& arguments, ControlPlane& control_plane, Console& console) {
  const OutputFormat format = FormatOf(arguments);
  v1::ListProxiesResponse response;
  const auto context = MakeContext(TimeoutOf(arguments, kCallTimeout));
  const grpc::Status status =
      control_plane.fleet->ListProxies(context.get(), v1::ListProxiesRequest(), &response);
  if (!status.ok()) {
    return ReportFailure(status, control_plane.server, Locations(), format, console);
  }
  if (format != OutputFormat::kTable) {
    Json proxies = Json::array();
    for (const v1::ProxyStatus& proxy : response.proxies()) proxies.push_back(ProxyJson(proxy));
    Print({{"current_revision", response.current_revision()}, {"proxies", std::move(proxies)}},
          format, console.out);
    return kExitOk;
  }
  Table table({"PROXY", "CONNECTED", "APPLIED", "RECEIVED", "REJECTED", "BEHIND", "LAST SEEN (UTC)",
               "ADDRESS", "BUILD"});
  for (const v1::ProxyStatus& proxy : response.proxies()) {
    table.AddRow({proxy.node_id(), proxy.connected() ? "yes" : "no",
                  absl::StrCat(proxy.applied_revision()), absl::StrCat(proxy.received_revision()),
                  proxy.rejected_revision() == 0 ? "-" : absl::StrCat(proxy.rejected_revision()),
                  proxy.behind_for().seconds() == 0 && proxy.behind_for().nanos() == 0
                      ? "-"
                      : absl::StrCat(proxy.behind_for().seconds(), "s"),
                  FormatTime(proxy.last_seen().seconds()), proxy.address(), proxy.build()});
  }
  console.out << "current revision: " << response.current_revision() << "\n"
              << (table.empty() ? "no proxies\n" : table.Format());
  for (const v1::ProxyStatus& proxy : response.proxies()) {
    for (const v1::Violation& violation : proxy.rejections()) {
      console.out << proxy.node_id() << ": " << api::ToString(violation) << "\n";
    }
  }
  return kExitOk;
}

}  // namespace portico::ctl
