// Certificates, keys and OCSP responses as an operator may send them: no crash, no finding without
// a fix, and nothing of a key in what is said.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "api/resource/certificate.h"
#include "dataplane/base/check.h"

namespace {

namespace api = portico::api;

// Takes what is before the first line of '='.
std::string_view Take(std::string_view& rest) {
  constexpr std::string_view kLine = "\n=\n";
  const size_t end = rest.find(kLine);
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + kLine.size());
  return part;
}

void CheckFindings(const api::CertificateInspection& inspection) {
  for (const api::CertificateProblem& problem : inspection.problems) {
    PORTICO_CHECK(!problem.field.empty() && !problem.reason.empty() && !problem.fix.empty());
    if (problem.field == "private_key") {
      PORTICO_CHECK(problem.value.empty() || problem.value == "(redacted)");
    }
  }
}

}  // namespace

// chain, "=", key, "=", response.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string_view chain = Take(rest);
  const std::string_view key = Take(rest);
  const api::CertificateInspection pair = api::InspectCertificate(chain, key, rest);
  CheckFindings(pair);
  PORTICO_CHECK(!pair.problems.empty() || !pair.chain.empty());
  const api::CertificateInspection bundle = api::InspectCaBundle(chain);
  CheckFindings(bundle);
  PORTICO_CHECK(!bundle.problems.empty() || !bundle.chain.empty());
  return 0;
}
