#include "tools/porticoctl/arguments.h"

#include <algorithm>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tools/porticoctl/command_line.h"
#include "tools/porticoctl/kinds.h"

namespace portico::ctl {
namespace {

EarlyExit Usage(const std::string& what, const std::string& verb = "") {
  return {kExitUsage, absl::StrCat("porticoctl: ", what, "; see porticoctl ",
                                   verb.empty() ? "" : absl::StrCat(verb, " "), "--help")};
}

void ReadEnvironment(const Environment& environment, Arguments& arguments) {
  ConnectionOptions& connection = arguments.connection;
  if (std::string server = environment("PORTICO_SERVER"); !server.empty()) {
    connection.server = std::move(server);
  }
  connection.tls_ca = environment("PORTICO_TLS_CA");
  connection.tls_cert = environment("PORTICO_TLS_CERT");
  connection.tls_key = environment("PORTICO_TLS_KEY");
  connection.insecure = environment("PORTICO_INSECURE") == "1";
  arguments.change.author = environment("USER");
}

// CLI11's texts span lines; the line printed must say what to do.
std::string OneLine(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipWhitespace());
  return absl::StrJoin(lines, "; ");
}

std::string ExplainParseError(const CLI::ParseError& error, const CLI::App& app,
                              const std::vector<std::string>& arguments) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> extras = app.remaining(true);
    if (!extras.empty() && extras.front().starts_with("-")) {
      return absl::StrCat("unknown flag ", extras.front());
    }
    if (!extras.empty() && app.get_subcommands().empty()) {
      return absl::StrCat("unknown verb \"", extras.front(), "\"");
    }
    if (!extras.empty()) return absl::StrCat("unexpected argument \"", extras.front(), "\"");
  }
  if (app.get_subcommands().empty() && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    for (const std::string& argument : arguments) {
      if (!argument.starts_with("-")) return absl::StrCat("unknown verb \"", argument, "\"");
    }
    return "say what to do, like \"porticoctl list\"";
  }
  return OneLine(error.what());
}

// Empty when all is well.
std::string CheckValues(const RawValues& raw, Arguments& arguments) {
  if (raw.output == "table") arguments.output = OutputFormat::kTable;
  if (raw.output == "json") arguments.output = OutputFormat::kJson;
  if (raw.output == "yaml") arguments.output = OutputFormat::kYaml;
  if (!raw.timeout.empty()) {
    absl::Duration timeout;
    if (!absl::ParseDuration(raw.timeout, &timeout) || timeout <= absl::ZeroDuration() ||
        timeout > absl::Hours(24)) {
      return absl::StrCat("--timeout \"", raw.timeout, "\" must be like 30s, 2m, at most 24h");
    }
    arguments.connection.timeout = timeout;
  }
  if (!raw.expires_in.empty() &&
      !absl::ParseDuration(raw.expires_in, &arguments.token.expires_in)) {
    return absl::StrCat("--expires-in \"", raw.expires_in, "\" must be like 15m, 1h");
  }
  if (!raw.kind.empty()) {
    arguments.kind = CanonicalKind(raw.kind);
    if (arguments.kind.empty()) {
      return absl::StrCat("unknown kind \"", raw.kind, "\"; kinds are ",
                          absl::StrJoin(AllKinds(), ", "));
    }
  }
  for (const std::string& label : raw.labels) {
    const size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::StrCat("--label \"", label, "\" must be NAME=VALUE");
    }
    arguments.labels[label.substr(0, equals)] = label.substr(equals + 1);
  }
  for (const std::string& claim : arguments.token.claims) {
    const size_t equals = claim.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::StrCat("--claim \"", claim, "\" must be NAME=VALUE");
    }
  }
  return "";
}

std::string CheckCombination(const Arguments& arguments) {
  if (arguments.verb == Verb::kDiff) {
    if (arguments.files.empty() == arguments.revisions.empty()) {
      return "diff needs either -f or one or two revisions";
    }
    if (std::count(arguments.revisions.begin(), arguments.revisions.end(), 0u) > 0) {
      return "revisions start at 1";
    }
  }
  if (arguments.verb == Verb::kRollback && arguments.revision == 0) return "revisions start at 1";
  if (arguments.verb == Verb::kCertificate) {
    const CertificateOptions& options = arguments.certificate;
    const bool pair = !options.chain_file.empty() && !options.key_file.empty();
    const bool any =
        !(options.chain_file.empty() && options.key_file.empty() && options.ocsp_file.empty());
    if (options.ca_file.empty() ? !pair : any) {
      return "certificate needs either --chain and --key, or --ca alone";
    }
  }
  if (arguments.change.wait && arguments.change.dry_run) {
    return "--wait and --dry-run exclude each other: a dry run makes no revision";
  }
  return "";
}

}  // namespace

std::variant<Arguments, EarlyExit> ParseArguments(std::vector<std::string> arguments,
                                                  const Environment& environment) {
  Arguments parsed;
  RawValues raw;
  ReadEnvironment(environment, parsed);
  const std::unique_ptr<CLI::App> app = DescribeCommandLine(parsed, raw);
  const std::vector<std::string> given = arguments;
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back.
  try {
    app->parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {  // boundary: CLI11 reports by exceptions.
    if (error.get_exit_code() == 0) {
      std::ostringstream text;
      app->exit(error, text, text);
      return EarlyExit{kExitOk, text.str()};
    }
    const auto used = app->get_subcommands();
    return Usage(ExplainParseError(error, *app, given), used.empty() ? "" : used[0]->get_name());
  }
  const std::string verb = app->get_subcommands()[0]->get_name();
  if (std::string problem = CheckValues(raw, parsed); !problem.empty()) {
    return Usage(problem, verb);
  }
  if (std::string problem = CheckCombination(parsed); !problem.empty()) {
    return Usage(problem, verb);
  }
  return parsed;
}

}  // namespace portico::ctl
