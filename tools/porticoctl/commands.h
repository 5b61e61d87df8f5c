// What each verb does. Every function prints to the console and returns the exit code.
#ifndef TOOLS_PORTICOCTL_COMMANDS_H_
#define TOOLS_PORTICOCTL_COMMANDS_H_

#include "absl/time/time.h"
#include "tools/porticoctl/arguments.h"
#include "tools/porticoctl/connection.h"
#include "tools/porticoctl/output.h"

namespace portico::ctl {

// Change the configuration (change.cc).
int RunApply(const Arguments& arguments, ControlPlane& control_plane, Console& console);
int RunDelete(const Arguments& arguments, ControlPlane& control_plane, Console& console);
int RunRollback(const Arguments& arguments, ControlPlane& control_plane, Console& console);
int RunCertificate(const Arguments& arguments, ControlPlane& control_plane, Console& console);

// Read it (read.cc, diff.cc).
int RunGet(const Arguments& arguments, ControlPlane& control_plane, Console& console);
int RunList(const Arguments& arguments, ControlPlane& control_plane, Console& console);
int RunHistory(const Arguments& arguments, ControlPlane& control_plane, Console& console);
int RunDiff(const Arguments& arguments, ControlPlane& control_plane, Console& console);

// Look at the proxies (rollout.cc).
int RunRollout(const Arguments& arguments, ControlPlane& control_plane, Console& console);
int RunFleet(const Arguments& arguments, ControlPlane& control_plane, Console& console);

// Waits until `revision` is live on all proxies; used by the changing verbs, too.
int WaitForRollout(uint64_t revision, const Arguments& arguments, ControlPlane& control_plane,
                   Console& console);

// Without a control plane (local.cc, token.cc, completion.cc, certificate.cc).
int RunValidate(const Arguments& arguments, absl::Time now, Console& console);
int PrintCertificate(const Arguments& arguments, absl::Time now, Console& console);
int RunHashKey(const Arguments& arguments, Console& console);
int RunToken(const Arguments& arguments, absl::Time now, Console& console);
int RunCompletion(const Arguments& arguments, Console& console);

// The whole program. `now` is the time that tokens are minted at, and certificates valid or not.
int Run(std::vector<std::string> arguments, const Environment& environment, absl::Time now,
        Console& console);

// Helpers shared by the verbs (common.cc).

// The format asked for, or the table.
OutputFormat FormatOf(const Arguments& arguments);
// The timeout asked for, or `fallback`.
absl::Duration TimeoutOf(const Arguments& arguments, absl::Duration fallback);
// Reads and parses what -f names. Prints what is wrong and returns the exit code
// in `code` when that fails.
std::optional<LoadedResources> LoadFiles(const Arguments& arguments, Console& console, int& code);
// The Certificate or CaBundle that the files make. Prints what is wrong and returns the exit code
// in `code` when they make none.
std::optional<v1::Resource> MakeCertificate(const Arguments& arguments, Console& console,
                                            int& code);
void PrintWarnings(const std::vector<v1::Violation>& warnings, Console& console);
// "created", "updated", "deleted".
std::string OperationName(v1::Change::Operation operation);
// As operators write it, secrets replaced unless `show_secrets`.
Json ResourceJson(const v1::Resource& resource, bool show_secrets);
std::string ResourceYaml(const v1::Resource& resource, bool show_secrets);
// "2026-11-24 05:06:07" in UTC; "" for the epoch.
std::string FormatTime(int64_t unix_seconds);

}  // namespace portico::ctl

#endif  // TOOLS_PORTICOCTL_COMMANDS_H_
