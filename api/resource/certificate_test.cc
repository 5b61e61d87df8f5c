#include "api/resource/certificate.h"

#include <string>
#include <vector>

#include "api/resource/test_certificates.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Text(const CertificateInspection& inspection) {
  std::string text;
  for (const CertificateProblem& p : inspection.problems) {
    EXPECT_FALSE(p.fix.empty()) << p.reason;
    text += p.field + ": \"" + p.value + "\" " + p.reason + " -- " + p.fix + "\n";
  }
  return text;
}

const TestPair& Root() {
  static const TestPair root = MakeTestCertificate({.subject = "root", .is_authority = true});
  return root;
}
const TestPair& Middle() {
  static const TestPair middle = MakeTestCertificate(
      {.subject = "middle", .issuer = &Root(), .is_authority = true, .serial = 2});
  return middle;
}
const TestPair& Leaf() {
  static const TestPair leaf = MakeTestCertificate({.subject = "leaf",
                                                    .dns_names = {"a.example", "*.b.example"},
                                                    .issuer = &Middle(),
                                                    .serial = 200});
  return leaf;
}
TestPair Of(const std::string& key) { return MakeTestCertificate({.key = key}); }

struct Case {
  const char* name;
  std::string chain;
  std::string key;
  std::string ocsp;
  // Each a part of the one problem; empty: accepted.
  std::vector<std::string> expected;
};

TEST(InspectCertificate, SaysWhatIsWrong) {
  const TestPair other = Of("P-256");
  const TestPair rsa = Of("RSA-2048");
  const TestPair weak = Of("RSA-1024");
  const TestPair big_curve = Of("P-521");
  const TestPair edwards = Of("Ed25519");
  const TestPair p384 = Of("P-384");
  const std::string leaf = Leaf().certificate;
  const std::string chain = leaf + Middle().certificate + Root().certificate;
  const std::string key = Leaf().key;
  const std::string good = MakeTestOcsp(200, TestOcspStatus::kGood);
  std::string cut = key;
  cut.resize(cut.size() / 2);
  std::string flipped = leaf;
  flipped[flipped.size() / 2] = '*';
  const std::string damaged_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const std::vector<Case> cases = {
      {"a leaf alone", leaf, key, "", {}},
      {"a whole chain", chain, key, "", {}},
      {"text around the blocks",
       "subject=leaf\n" + leaf + "\nissuer=\n" + Middle().certificate,
       key,
       "",
       {}},
      {"a response", leaf, key, good, {}},
      {"RSA", rsa.certificate, rsa.key, "", {}},
      {"RSA as PKCS #1", rsa.certificate, TraditionalKey(rsa), "", {}},
      {"ECDSA as SEC 1 with parameters", leaf, TraditionalKey(Leaf()), "", {}},
      {"P-384", p384.certificate, p384.key, "", {}},
      {"expired",
       MakeTestCertificate({.not_after = 1'600'000'001}).certificate,
       "",
       "",
       {"private_key: \"\" is required"}},
      {"no chain", "", key, "", {"chain: \"\" is required"}},
      {"no PEM", "hello", key, "", {"chain: \"\" holds no certificate"}},
      {"a flipped letter", flipped, key, "", {"chain: ", "damaged"}},
      {"no certificate inside", damaged_der, key, "", {"certificate 1", "is no certificate"}},
      {"a key among the certificates",
       leaf + key,
       key,
       "",
       {"chain: \"PRIVATE KEY\" holds a block that is no certificate", "make a new key"}},
      {"too long", std::string(64 * 1024 + 1, 'x'), key, "", {"chain: \"65537 bytes\""}},
      {"the wrong order",
       Middle().certificate + leaf,
       Middle().key,
       "",
       {"chain: \"CN=middle\"", "certificate 1 of the chain", "leaf first"}},
      {"a gap", leaf + Root().certificate, key, "", {"CN=leaf", "did not sign"}},
      {"the name of a signer, not its key",
       leaf + MakeTestCertificate({.subject = "middle", .is_authority = true}).certificate,
       key,
       "",
       {"CN=leaf", "did not sign"}},
      {"a half-replaced pair",
       leaf,
       other.key,
       "",
       {"private_key: \"(redacted)\" is not the key of the first certificate", "together"}},
      {"RSA of 1024 bits", weak.certificate, weak.key, "", {"chain: \"RSA 1024\""}},
      {"P-521", big_curve.certificate, big_curve.key, "", {"chain: \"ECDSA P-521\""}},
      {"Ed25519", edwards.certificate, edwards.key, "", {"chain: \"Ed25519\""}},
      {"an encrypted key",
       leaf,
       EncryptedKey(Leaf()),
       "",
       {"private_key: \"(redacted)\" is encrypted", "openssl pkey"}},
      {"an encrypted key of the old form",
       leaf,
       "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n"
       "-----END RSA PRIVATE KEY-----\n",
       "",
       {"is encrypted"}},
      {"half a key", leaf, cut, "", {"private_key: \"(redacted)\" is damaged"}},
      {"no key inside",
       leaf,
       "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
       "",
       {"is no such key"}},
      {"two keys", leaf, key + other.key, "", {"more than one"}},
      {"a certificate for a key", leaf, leaf, "", {"\"CERTIFICATE\"", "into chain"}},
      {"what dumps show", leaf, "(redacted)", "", {"in place of a secret"}},
      {"a key without PEM", leaf, "c2VjcmV0", "", {"holds no private key"}},
      {"a response about another",
       leaf,
       key,
       MakeTestOcsp(201, TestOcspStatus::kGood),
       {"ocsp_response: ", "another certificate"}},
      {"a response that it is revoked",
       leaf,
       key,
       MakeTestOcsp(200, TestOcspStatus::kRevoked),
       {"is revoked"}},
      {"a response that knows nothing",
       leaf,
       key,
       MakeTestOcsp(200, TestOcspStatus::kUnknown),
       {"is not known"}},
      {"no response", leaf, key, "x", {"no successful OCSP response"}},
      {"half a response",
       leaf,
       key,
       good.substr(0, good.size() - 1),
       {"no successful OCSP response"}},
  };
  for (const Case& c : cases) {
    const CertificateInspection inspection = InspectCertificate(c.chain, c.key, c.ocsp);
    const std::string text = Text(inspection);
    EXPECT_EQ(inspection.problems.size(), c.expected.empty() ? 0u : 1u) << c.name << "\n" << text;
    for (const std::string& part : c.expected) EXPECT_THAT(text, HasSubstr(part)) << c.name;
    // No part of a key is in what is said.
    if (c.key.size() > 100) {
      EXPECT_EQ(text.find(c.key.substr(40, 30)), std::string::npos) << c.name;
    }
  }
}

TEST(InspectCertificate, DescribesTheChain) {
  const CertificateInspection inspection =
      InspectCertificate(Leaf().certificate + Middle().certificate, Leaf().key, "");
  ASSERT_EQ(inspection.chain.size(), 2u);
  EXPECT_EQ(inspection.chain[0].subject, "CN=leaf");
  EXPECT_THAT(inspection.chain[0].dns_names, ElementsAre("a.example", "*.b.example"));
  EXPECT_EQ(inspection.chain[0].key, "ECDSA P-256");
  EXPECT_EQ(inspection.chain[0].not_before, 1'600'000'000);
  EXPECT_EQ(inspection.chain[0].not_after, 4'000'000'000);
  EXPECT_EQ(inspection.chain[1].subject, "CN=middle");
}

TEST(InspectCertificate, TooManyCertificates) {
  std::string chain;
  for (int i = 0; i < 17; ++i) chain += Root().certificate;
  EXPECT_THAT(Text(InspectCertificate(chain, Root().key, "")), HasSubstr("17 certificates"));
}

TEST(InspectCaBundle, ReadsAllOrSaysWhatIsWrong) {
  const std::string two = Root().certificate + Middle().certificate;
  EXPECT_EQ(Text(InspectCaBundle(two)), "");
  EXPECT_EQ(InspectCaBundle(two).chain.size(), 2u);
  EXPECT_THAT(Text(InspectCaBundle("")), HasSubstr("certificates: \"\" is required"));
  EXPECT_THAT(Text(InspectCaBundle(two + Root().key)), HasSubstr("make a new key"));
  EXPECT_THAT(Text(InspectCaBundle(two + two.substr(0, 100))), HasSubstr("block 3"));
}

}  // namespace
}  // namespace portico::api
