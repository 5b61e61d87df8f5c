// What was asked for on the command line.
#ifndef TOOLS_PORTICOCTL_ARGUMENTS_H_
#define TOOLS_PORTICOCTL_ARGUMENTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"

namespace portico::ctl {

// Exit codes, as documented in docs/porticoctl.md.
inline constexpr int kExitOk = 0;
inline constexpr int kExitRefused = 1;      // Refused, or the configuration is invalid.
inline constexpr int kExitUsage = 2;        // The command line or a file it names is wrong.
inline constexpr int kExitUnreachable = 3;  // No answer from the control plane.
inline constexpr int kExitRollout = 4;      // A proxy rejected the revision, or time ran out.

enum class Verb {
  kApply,
  kDiff,
  kGet,
  kList,
  kDelete,
  kHistory,
  kRollback,
  kCertificate,
  kRollout,
  kFleet,
  kValidate,
  kToken,
  kHashKey,
  kCompletion,
};

enum class OutputFormat { kTable, kJson, kYaml };

// How to reach the control plane.
struct ConnectionOptions {
  // HOST:PORT. Default: $PORTICO_SERVER, else 127.0.0.1:7400.
  std::string server = "127.0.0.1:7400";
  // PEM files. Defaults: $PORTICO_TLS_CA, $PORTICO_TLS_CERT, $PORTICO_TLS_KEY.
  std::string tls_ca;
  std::string tls_cert;
  std::string tls_key;
  // No TLS; only to loopback addresses. Default: $PORTICO_INSECURE is "1".
  bool insecure = false;
  // Default: 30s for one call, 60s for waiting until a revision is live.
  std::optional<absl::Duration> timeout;
};

// `apply`, `delete`, `rollback`.
struct ChangeOptions {
  bool dry_run = false;
  uint64_t expected_revision = 0;
  std::string message;
  // Default: $USER.
  std::string author;
  // Wait until the new revision is live.
  bool wait = false;
};

// `token`.
struct TokenOptions {
  std::string key_file;
  bool create_key = false;
  bool jwks = false;
  std::string issuer;
  std::vector<std::string> audiences;
  std::string subject;
  // NAME=VALUE; the value is JSON where it can be read as such.
  std::vector<std::string> claims;
  absl::Duration expires_in = absl::Hours(1);
  // ES256, RS256, HS256. Default: what the key file holds, ES256 for a new one.
  std::string algorithm;
  // Default: the key's thumbprint (RFC 7638).
  std::string kid;
};

// `certificate`.
struct CertificateOptions {
  std::string chain_file;
  std::string key_file;
  std::string ocsp_file;
  // A CaBundle instead.
  std::string ca_file;
  // Write the resource instead of applying it.
  bool print = false;
};

struct Arguments {
  Verb verb = Verb::kList;
  ConnectionOptions connection;
  // Default: yaml for `get`, table for everything else.
  std::optional<OutputFormat> output;

  // apply, diff, validate: files, folders, "-".
  std::vector<std::string> files;
  ChangeOptions change;
  // diff: none, one or two. get, rollback, rollout: `revision`.
  std::vector<uint64_t> revisions;
  uint64_t revision = 0;
  // get, list, delete: the kind as resources name it ("Route"); empty for all.
  std::string kind;
  std::vector<std::string> names;
  // list.
  std::map<std::string, std::string> labels;
  // get, list.
  bool show_secrets = false;
  // history: how many, 0 for all.
  uint32_t limit = 20;
  // rollout, and waiting.
  bool wait = false;
  uint32_t min_proxies = 0;
  TokenOptions token;
  CertificateOptions certificate;
  // hash-key.
  bool generate = false;
  // completion: bash, zsh, fish.
  std::string shell;
};

// Instead of doing something: print and leave. Help has code 0 and goes to
// standard output, a mistake has code 2 and goes to standard error as one line.
struct EarlyExit {
  int code = kExitUsage;
  std::string text;
};

// An environment variable, empty when it is not set.
using Environment = std::function<std::string(const std::string& name)>;

// `arguments` without the program's name.
std::variant<Arguments, EarlyExit> ParseArguments(std::vector<std::string> arguments,
                                                  const Environment& environment);

}  // namespace portico::ctl

#endif  // TOOLS_PORTICOCTL_ARGUMENTS_H_
