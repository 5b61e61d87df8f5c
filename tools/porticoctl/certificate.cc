// Certificates and CA bundles made from the files that other tools write.
#include "api/resource/certificate.h"

#include <fstream>
#include <iterator>
#include <optional>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "api/validation/validate.h"
#include "tools/porticoctl/commands.h"

namespace portico::ctl {
namespace {

// False: said what is wrong.
bool ReadFile(const char* flag, const std::string& path, size_t most_bytes, std::string& out,
              Console& console) {
  std::ifstream file(path, std::ios::binary);
  if (file) out.assign(std::istreambuf_iterator<char>(file), {});
  if (!file || out.empty()) {
    console.err << "porticoctl: " << flag << " " << path << " cannot be read, or is empty\n";
    return false;
  }
  if (out.size() > most_bytes) {
    console.err << "porticoctl: " << flag << " " << path << " has more than " << most_bytes
                << " bytes\n";
    return false;
  }
  return true;
}

bool ReadPair(const CertificateOptions& options, v1::Certificate& out, Console& console) {
  return ReadFile("--chain", options.chain_file, api::kMaxChainBytes, *out.mutable_chain(),
                  console) &&
         ReadFile("--key", options.key_file, api::kMaxKeyBytes, *out.mutable_private_key(),
                  console) &&
         (options.ocsp_file.empty() || ReadFile("--ocsp", options.ocsp_file, api::kMaxOcspBytes,
                                                *out.mutable_ocsp_response(), console));
}

}  // namespace

void PrintWarnings(const std::vector<v1::Violation>& warnings, Console& console) {
  for (const v1::Violation& warning : warnings)
    console.err << "warning: " << api::ToString(warning) << "\n";
}

std::optional<v1::Resource> MakeCertificate(const Arguments& arguments, Console& console,
                                            int& code) {
  const CertificateOptions& options = arguments.certificate;
  v1::Resource resource;
  resource.set_name(arguments.names.front());
  const bool read = options.ca_file.empty()
                        ? ReadPair(options, *resource.mutable_certificate(), console)
                        : ReadFile("--ca", options.ca_file, api::kMaxBundleBytes,
                                   *resource.mutable_ca_bundle()->mutable_certificates(), console);
  if (!read) {
    code = kExitUsage;
    return std::nullopt;
  }
  api::ResourceSet set;
  set[api::KeyOf(resource)] = api::MakeStored(resource);
  const std::vector<v1::Violation> violations = api::Validate(set);
  if (violations.empty()) return resource;
  PrintViolations(violations, Locations(), FormatOf(arguments), console);
  console.err << "porticoctl: nothing was sent: " << violations.size()
              << (violations.size() == 1 ? " violation\n" : " violations\n");
  code = kExitRefused;
  return std::nullopt;
}

int PrintCertificate(const Arguments& arguments, absl::Time now, Console& console) {
  int code = kExitOk;
  const std::optional<v1::Resource> resource = MakeCertificate(arguments, console, code);
  if (!resource) return code;
  PrintWarnings(api::WarningsAbout(*resource, now), console);
  // The one place where a private key is written: to who has it in a file.
  const OutputFormat format = arguments.output.value_or(OutputFormat::kYaml);
  if (format == OutputFormat::kJson) {
    Print(ResourceJson(*resource, /*show_secrets=*/true), format, console.out);
  } else {
    console.out << ResourceYaml(*resource, /*show_secrets=*/true);
  }
  return kExitOk;
}

}  // namespace portico::ctl
