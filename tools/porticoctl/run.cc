#include <ostream>

#include "tools/porticoctl/commands.h"

namespace portico::ctl {
namespace {

int RunOnline(const Arguments& arguments, Console& console) {
  absl::StatusOr<ControlPlane> control_plane = Connect(arguments.connection);
  if (!control_plane.ok()) {
    console.err << "porticoctl: " << control_plane.status().message() << "\n";
    return kExitUsage;
  }
  switch (arguments.verb) {
    case Verb::kApply:
      return RunApply(arguments, *control_plane, console);
    case Verb::kDelete:
      return RunDelete(arguments, *control_plane, console);
    case Verb::kRollback:
      return RunRollback(arguments, *control_plane, console);
    case Verb::kCertificate:
      return RunCertificate(arguments, *control_plane, console);
    case Verb::kDiff:
      return RunDiff(arguments, *control_plane, console);
    case Verb::kGet:
      return RunGet(arguments, *control_plane, console);
    case Verb::kList:
      return RunList(arguments, *control_plane, console);
    case Verb::kHistory:
      return RunHistory(arguments, *control_plane, console);
    case Verb::kRollout:
      return RunRollout(arguments, *control_plane, console);
    case Verb::kFleet:
      return RunFleet(arguments, *control_plane, console);
    default:
      return kExitUsage;
  }
}

}  // namespace

int Run(std::vector<std::string> arguments, const Environment& environment, absl::Time now,
        Console& console) {
  const std::variant<Arguments, EarlyExit> parsed =
      ParseArguments(std::move(arguments), environment);
  if (const EarlyExit* exit = std::get_if<EarlyExit>(&parsed)) {
    (exit->code == kExitOk ? console.out : console.err)
        << exit->text << (exit->text.ends_with("\n") ? "" : "\n");
    return exit->code;
  }
  const Arguments& known = std::get<Arguments>(parsed);
  switch (known.verb) {
    case Verb::kValidate:
      return RunValidate(known, now, console);
    case Verb::kHashKey:
      return RunHashKey(known, console);
    case Verb::kToken:
      return RunToken(known, now, console);
    case Verb::kCompletion:
      return RunCompletion(known, console);
    case Verb::kCertificate:
      if (known.certificate.print) return PrintCertificate(known, now, console);
      return RunOnline(known, console);
    default:
      return RunOnline(known, console);
  }
}

}  // namespace portico::ctl
