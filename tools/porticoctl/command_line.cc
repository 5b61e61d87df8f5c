#include "tools/porticoctl/command_line.h"

#include <string>

#include "tools/flags/version.h"

namespace portico::ctl {
namespace {

// A subcommand that sets the verb when it is used.
CLI::App& AddVerb(CLI::App& app, Arguments& arguments, Verb verb, const std::string& name,
                  const std::string& description) {
  CLI::App* command = app.add_subcommand(name, description);
  command->callback([&arguments, verb] { arguments.verb = verb; });
  return *command;
}

void AddGlobal(CLI::App& app, Arguments& arguments, RawValues& raw) {
  ConnectionOptions& connection = arguments.connection;
  app.add_option("--server", connection.server,
                 "control plane, HOST:PORT ($PORTICO_SERVER; default 127.0.0.1:7400)")
      ->option_text("HOST:PORT");
  app.add_option("--tls-ca", connection.tls_ca, "CA certificate, PEM ($PORTICO_TLS_CA)")
      ->option_text("FILE");
  app.add_option("--tls-cert", connection.tls_cert, "client certificate, PEM ($PORTICO_TLS_CERT)")
      ->option_text("FILE");
  app.add_option("--tls-key", connection.tls_key, "client key, PEM ($PORTICO_TLS_KEY)")
      ->option_text("FILE");
  app.add_flag("--insecure", connection.insecure,
               "no TLS; only to a loopback address ($PORTICO_INSECURE=1)");
  app.add_option("-o,--output", raw.output, "table, json or yaml")
      ->option_text("FORMAT")
      ->check(CLI::IsMember({"table", "json", "yaml"}));
  app.add_option("--timeout", raw.timeout, "\"30s\", \"2m\": for one call, or for waiting")
      ->option_text("DURATION");
}

void AddFiles(CLI::App& command, Arguments& arguments, bool required) {
  CLI::Option* files = command
                           .add_option("-f,--file", arguments.files,
                                       "file, folder, or - for standard input; may be repeated")
                           ->option_text("PATH");
  if (required) files->required();
}

void AddWhoAndWhy(CLI::App& command, ChangeOptions& change) {
  command.add_flag("--dry-run", change.dry_run, "check and compare, store nothing");
  command
      .add_option("--expected-revision", change.expected_revision,
                  "refuse unless this is the current revision")
      ->option_text("REV");
  command.add_option("-m,--message", change.message, "why, kept with the revision")
      ->option_text("TEXT");
  command.add_option("--author", change.author, "who (default $USER)")->option_text("NAME");
}

void AddWait(CLI::App& command, Arguments& arguments, bool& wait) {
  command.add_flag("--wait", wait, "wait until the revision is live on all proxies");
  command
      .add_option("--min-proxies", arguments.min_proxies, "with --wait: and on at least that many")
      ->option_text("N");
}

void AddRevision(CLI::App& command, Arguments& arguments) {
  command.add_option("--revision", arguments.revision, "default: the current one")
      ->option_text("REV");
}

void AddChangingVerbs(CLI::App& app, Arguments& arguments, RawValues& raw) {
  CLI::App& apply = AddVerb(app, arguments, Verb::kApply, "apply",
                            "create and change resources, as one transaction");
  AddFiles(apply, arguments, true);
  AddWhoAndWhy(apply, arguments.change);
  AddWait(apply, arguments, arguments.change.wait);

  CLI::App& remove = AddVerb(app, arguments, Verb::kDelete, "delete", "delete resources");
  remove.add_option("kind", raw.kind, "kind of resource")->required()->option_text("KIND");
  remove.add_option("names", arguments.names, "their names")->required()->option_text("NAME...");
  AddWhoAndWhy(remove, arguments.change);
  AddWait(remove, arguments, arguments.change.wait);

  CLI::App& rollback = AddVerb(app, arguments, Verb::kRollback, "rollback",
                               "make a new revision with the content of an older one");
  rollback.add_option("revision", arguments.revision, "the revision to return to")
      ->required()
      ->option_text("REV");
  AddWhoAndWhy(rollback, arguments.change);
  AddWait(rollback, arguments, arguments.change.wait);
}

void AddCertificateVerb(CLI::App& app, Arguments& arguments) {
  CertificateOptions& options = arguments.certificate;
  CLI::App& command = AddVerb(app, arguments, Verb::kCertificate, "certificate",
                              "create or replace a certificate or a CA bundle from PEM files");
  command.add_option("name", arguments.names, "its name")
      ->required()
      ->expected(1)
      ->option_text("NAME");
  command.add_option("--chain", options.chain_file, "certificate chain, PEM, the leaf first")
      ->option_text("FILE");
  command.add_option("--key", options.key_file, "its private key, PEM, without a passphrase")
      ->option_text("FILE");
  command.add_option("--ocsp", options.ocsp_file, "OCSP response to staple, DER")
      ->option_text("FILE");
  command.add_option("--ca", options.ca_file, "make a CaBundle of these certificates, PEM")
      ->option_text("FILE");
  command.add_flag("--print", options.print,
                   "print the resource, private key included, and send nothing");
  AddWhoAndWhy(command, arguments.change);
  AddWait(command, arguments, arguments.change.wait);
}

void AddReadingVerbs(CLI::App& app, Arguments& arguments, RawValues& raw) {
  CLI::App& diff = AddVerb(app, arguments, Verb::kDiff, "diff",
                           "what files would change, or what two revisions differ in");
  AddFiles(diff, arguments, false);
  diff.add_option("revisions", arguments.revisions, "from, and to (default: the current one)")
      ->option_text("REV [REV]")
      ->expected(0, 2);

  CLI::App& get = AddVerb(app, arguments, Verb::kGet, "get", "show one resource");
  get.add_option("kind", raw.kind, "kind of resource")->required()->option_text("KIND");
  get.add_option("name", arguments.names, "its name")->required()->expected(1)->option_text("NAME");
  AddRevision(get, arguments);
  get.add_flag("--show-secrets", arguments.show_secrets, "do not replace secrets by (redacted)");

  CLI::App& list = AddVerb(app, arguments, Verb::kList, "list", "list resources");
  list.add_option("kind", raw.kind, "only this kind")->option_text("[KIND]");
  list.add_option("-l,--label", raw.labels, "only those with this label; may be repeated")
      ->option_text("NAME=VALUE")
      ->allow_extra_args(false);
  AddRevision(list, arguments);
  list.add_flag("--show-secrets", arguments.show_secrets, "do not replace secrets by (redacted)");

  CLI::App& history =
      AddVerb(app, arguments, Verb::kHistory, "history", "list revisions, newest first");
  history.add_option("--limit", arguments.limit, "how many; 0 for all (default 20)")
      ->option_text("N");

  CLI::App& rollout = AddVerb(app, arguments, Verb::kRollout, "rollout",
                              "show or await on which proxies a revision is live");
  AddRevision(rollout, arguments);
  AddWait(rollout, arguments, arguments.wait);

  AddVerb(app, arguments, Verb::kFleet, "fleet", "list proxies and their revisions");
}

void AddLocalVerbs(CLI::App& app, Arguments& arguments, RawValues& raw) {
  CLI::App& validate = AddVerb(app, arguments, Verb::kValidate, "validate",
                               "check files as one whole set, without a control plane");
  AddFiles(validate, arguments, true);

  TokenOptions& options = arguments.token;
  CLI::App& token = AddVerb(app, arguments, Verb::kToken, "token",
                            "mint a token for demos and tests with a local key");
  token.add_option("--key-file", options.key_file, "private key, PEM (HS256: base64url text)")
      ->required()
      ->option_text("FILE");
  token.add_flag("--create-key", options.create_key, "make the key file if there is none");
  token.add_flag("--jwks", options.jwks, "print the key set for a JwtProvider instead");
  token.add_option("--issuer", options.issuer, "claim iss")->option_text("TEXT");
  token.add_option("--audience", options.audiences, "claim aud; may be repeated")
      ->option_text("TEXT")
      ->allow_extra_args(false);
  token.add_option("--subject", options.subject, "claim sub")->option_text("TEXT");
  token
      .add_option("--claim", options.claims,
                  "one more claim; VALUE is JSON if it can be read so; may be repeated")
      ->option_text("NAME=VALUE")
      ->allow_extra_args(false);
  token.add_option("--expires-in", raw.expires_in, "default 1h; negative: expired")
      ->option_text("DURATION");
  token.add_option("--alg", options.algorithm, "ES256, RS256 or HS256 (default: by the key)")
      ->option_text("NAME")
      ->check(CLI::IsMember({"ES256", "RS256", "HS256"}));
  token.add_option("--kid", options.kid, "key id (default: the key's thumbprint)")
      ->option_text("TEXT");

  CLI::App& hash = AddVerb(app, arguments, Verb::kHashKey, "hash-key",
                           "print the SHA-256 of an API key read from standard input");
  hash.add_flag("--generate", arguments.generate, "make a new key, print it and its hash");

  CLI::App& completion =
      AddVerb(app, arguments, Verb::kCompletion, "completion", "print a shell completion script");
  completion.add_option("shell", arguments.shell, "bash, zsh or fish")
      ->required()
      ->option_text("SHELL")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

}  // namespace

std::unique_ptr<CLI::App> DescribeCommandLine(Arguments& arguments, RawValues& raw) {
  auto app = std::make_unique<CLI::App>(
      "Portico's command line: changes the configuration and watches it reach the proxies.",
      "porticoctl");
  app->set_version_flag("--version", "porticoctl " + std::string(kVersion));
  app->require_subcommand(1);
  // Global flags may stand behind the verb.
  app->fallthrough();
  AddGlobal(*app, arguments, raw);
  AddChangingVerbs(*app, arguments, raw);
  AddCertificateVerb(*app, arguments);
  AddReadingVerbs(*app, arguments, raw);
  AddLocalVerbs(*app, arguments, raw);
  return app;
}

}  // namespace portico::ctl
