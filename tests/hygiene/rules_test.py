"""Each rule against planted samples: it finds what it is for, and leaves alone what it is not."""

import unittest

from tests.hygiene.rules import ban_rules
from tests.hygiene.rules import include_rules
from tests.hygiene.rules.source_tree import SourceFile, blank_comments_and_literals


class RuleCase(unittest.TestCase):
    def lines(self, check, path, text):
        return [violation.line for violation in check([SourceFile(path, text)])]

    def bad(self, check, path, text, line=1):
        self.assertEqual(self.lines(check, path, text), [line], f"{path}: {text}")

    def good(self, check, path, text):
        self.assertEqual(self.lines(check, path, text), [], f"{path}: {text}")


class BlankingTest(unittest.TestCase):
    def test_keeps_places(self):
        text = 'a("x // y", \'"\'); /* b\nc */ d; // e\nf'
        blanked = blank_comments_and_literals(text)
        self.assertEqual(len(blanked), len(text))
        self.assertEqual(blanked.split("\n"), ['a("      ", " ");     ', "     d;     ", "f"])

    def test_raw_strings(self):
        self.assertNotIn("throw", blank_comments_and_literals('R"x(throw " )" )x";'))
        self.assertIn("throw", blank_comments_and_literals('R"x(a)x"; throw 1;'))

    def test_digit_separators(self):
        self.assertIn("throw", blank_comments_and_literals("1'000; throw 2'000;"))


class IncludeRulesTest(RuleCase):
    def test_planes_stay_apart(self):
        check = include_rules.check_reach
        self.bad(check, "dataplane/server/a.cc", '#include "controlplane/model/a.h"\n')
        self.bad(check, "controlplane/store/a.cc", '\n#include "dataplane/base/a.h"\n', line=2)
        self.bad(check, "controlplane/store/a_test.cc", '#include "dataplane/base/a.h"\n')
        self.bad(check, "api/validation/a.h", '#include "dataplane/routing/a.h"\n')
        self.bad(check, "dataplane/base/a.h", '#include <tests/support/a.h>\n')
        self.bad(check, "dataplane/base/a.h", '#  include "tools/flags/a.h"\n')
        self.good(check, "dataplane/base/a_test.cc", '#include "tests/support/a.h"\n')
        self.good(check, "dataplane/main.cc", '#include "tools/flags/a.h"\n')
        self.good(check, "dataplane/discovery/a.h", '#include "proto/portico/discovery/v1/d.pb.h"\n')
        self.good(check, "controlplane/model/a.h", '#include "api/portico/v1/route.pb.h"\n')
        self.good(check, "tests/integration/a.cc", '#include "dataplane/base/a.h"\n')

    def test_upper_floors(self):
        check = include_rules.check_floors
        self.bad(check, "dataplane/routing/a.cc", '#include "dataplane/snapshot/a.h"\n')
        self.bad(check, "dataplane/routing/a_test.cc", '#include "dataplane/snapshot/a.h"\n')
        self.bad(check, "dataplane/base/a.h", '#include "dataplane/event/loop.h"\n')
        self.bad(check, "controlplane/model/a.h", '#include "controlplane/store/store.h"\n')
        self.bad(check, "api/portico/a.h", '#include "api/validation/validate.h"\n')
        self.good(check, "dataplane/server/a.h", '#include "dataplane/base/a.h"\n')
        self.good(check, "dataplane/main.cc", '#include "dataplane/server/a.h"\n')

    def test_siblings(self):
        check = include_rules.check_floors
        self.bad(check, "dataplane/http/a.h", '#include "dataplane/tls/a.h"\n')
        self.bad(check, "controlplane/management/a.h", '#include "controlplane/discovery/a.h"\n')
        self.good(check, "dataplane/http/a_test.cc", '#include "dataplane/tls/a.h"\n')
        self.good(check, "dataplane/http/a.cc", '#include "dataplane/http/b.h"\n')

    def test_filters_are_siblings(self):
        check = include_rules.check_floors
        self.bad(check, "dataplane/filters/jwt/a.h", '#include "dataplane/filters/cors/a.h"\n')
        self.good(check, "dataplane/filters/jwt/a.h", '#include "dataplane/filters/filter.h"\n')
        self.good(check, "dataplane/filters/jwt/a.h", '#include "dataplane/filters/jwt/b.h"\n')
        self.good(check, "dataplane/filters/chain.cc", '#include "dataplane/filters/jwt/b.h"\n')

    def test_unknown_folders(self):
        check = include_rules.check_floors
        self.bad(check, "dataplane/news/a.h", '#include "dataplane/base/a.h"\n')
        self.bad(check, "dataplane/server/a.h", '#include "dataplane/news/a.h"\n')

    def test_two_tls_libraries(self):
        check = include_rules.check_two_tls_libraries
        self.bad(check, "tests/a.cc", "#include <openssl/ssl.h>\n#include <grpcpp/grpcpp.h>\n", line=2)
        self.bad(check, "tests/a.cc", '#include "a/b.grpc.pb.h"\n#include <openssl/ssl.h>\n')
        self.good(check, "tests/a.cc", '#include <openssl/ssl.h>\n#include "a/b.pb.h"\n')

    def headers_without_target(self, header, build_path, build_text):
        files = [SourceFile(header, ""), SourceFile(build_path, build_text)]
        return len(include_rules.check_headers_have_targets(files))

    def test_headers_have_targets(self):
        count = self.headers_without_target
        self.assertEqual(count("api/v/a.h", "api/v/BUILD.bazel", 'hdrs = ["b.h"]'), 1)
        self.assertEqual(count("api/v/a.h", "api/w/BUILD.bazel", 'hdrs = ["a.h"]'), 1)
        self.assertEqual(count("api/v/a.h", "api/v/BUILD.bazel", 'hdrs = ["a.h"]'), 0)
        self.assertEqual(count("api/v/a.h", "api/v/BUILD.bazel", 'hdrs = glob(["*.h"])'), 0)
        self.assertEqual(count("api/v/a.h", "api/BUILD.bazel", 'hdrs = ["v/a.h"]'), 0)


class BanRulesTest(RuleCase):
    path = "dataplane/http/a.cc"

    def test_regex(self):
        check = ban_rules.check_regex
        self.bad(check, self.path, "std::regex r;\n")
        self.bad(check, self.path, "#include <regex>\n")
        self.good(check, self.path, "// not std::regex\nRE2 regex;\n")

    def test_clocks(self):
        check = ban_rules.check_clocks
        for text in (
            "auto t = std::chrono::steady_clock::now();",
            "auto t = Clock(std::chrono::system_clock :: now());",
            "clock_gettime(CLOCK_MONOTONIC, &t);",
            "gettimeofday(&t, nullptr);",
            "x = time(nullptr);",
            "x = std::time(NULL);",
            "absl::Now()",
        ):
            self.bad(check, self.path, text)
            self.bad(check, "controlplane/store/a.cc", "// clock: no excuse here\n" + text, line=2)
            self.good(check, "dataplane/base/clock.cc", text)
            self.good(check, "controlplane/model/clock.cc", text)
            self.good(check, "controlplane/main.cc", text)
            self.good(check, "tests/integration/a.cc", text)
            self.bad(check, "dataplane/http/a_test.cc", text)
            self.good(check, "dataplane/http/a_test.cc", text + "  // clock: a real socket")
        self.good(check, self.path, "token.time(0); expiry_time(nullptr); clock.Now();")

    def test_sleeping(self):
        check = ban_rules.check_sleeping
        self.bad(check, self.path, "std::this_thread::sleep_for(1s);")
        self.bad(check, self.path, "usleep(10);")
        self.good(check, self.path, "co_await loop.SleepFor(1s);")
        self.good(check, "dataplane/http/a_test.cc", "usleep(10);")

    def test_exceptions(self):
        check = ban_rules.check_exceptions
        self.bad(check, self.path, 'throw std::runtime_error("x");')
        self.bad(check, self.path, "// boundary: no\nthrow;", line=2)
        self.bad(check, self.path, "try {\n")
        self.bad(check, self.path, "// boundary:\ntry {", line=2)
        self.good(check, self.path, "try {  // boundary: yaml-cpp throws")
        self.good(check, self.path, "// boundary: yaml-cpp throws\n// on bad input\ntry {")
        self.good(check, self.path, "try {\n} catch (E) {  // boundary: CLI11 throws\n}")
        self.good(check, self.path, "// boundary: last words\ntry {\n  throw;\n} catch (E) {\n}")
        self.bad(check, self.path, "try {  // boundary: x\n  a();\n  throw;\n} catch (E) {\n}", line=3)
        self.bad(check, self.path, "try {  // boundary: x\n}\ntry {\n} catch (E) {\n}", line=3)
        self.good(check, self.path, 'retry { x = "throw"; } // we throw nothing')

    def test_using_namespace(self):
        check = ban_rules.check_using_namespace
        self.bad(check, self.path, "using namespace std;")
        self.bad(check, "tests/chaos/a.cc", "  using  namespace portico::http;")
        self.bad(check, self.path, "using namespace portico::literals_of_mine;")
        self.good(check, self.path, "using namespace std::string_view_literals;")
        self.good(check, self.path, "using namespace std::literals;")
        self.good(check, self.path, "namespace a = b; using a::c;")

    def test_raw_new(self):
        check = ban_rules.check_new
        self.bad(check, self.path, "auto* a = new Foo();")
        self.bad(check, self.path, "auto* a = new (buffer) Foo();")
        self.bad(check, self.path, "auto* a = new ::portico::Foo[3];")
        self.bad(check, self.path, "std::unique_ptr<Foo> a = Make(); b = new Foo;")
        self.bad(check, self.path, "auto* a = ::new Foo;")
        self.bad(check, self.path, "auto* a = ::new (std::nothrow) Foo;")
        self.good(check, self.path, "auto* a = ::new (buffer) Foo();")
        self.bad(check, self.path, "// owned:\nreturn new Foo;", line=2)
        self.good(check, self.path, "return std::unique_ptr<Foo>(new Foo(1));")
        self.good(check, self.path, "return std::unique_ptr<Foo>(\n    new Foo(1));")
        self.good(check, self.path, "return absl::WrapUnique(new Foo(1));")
        self.good(check, self.path, "auto* a = new Foo;  // owned: by the list")
        self.good(check, self.path, "void* operator new(size_t size);\n#include <new>\nint new_size;")
        self.good(check, self.path, "// a new Foo\nabsl::StrCat(\"new Foo\");")

    def test_abseil_mutexes(self):
        check = ban_rules.check_mutexes
        self.bad(check, self.path, "absl::Mutex mutex_;")
        self.good(check, self.path, "std::mutex mutex_;")

    def test_length(self):
        check = ban_rules.check_length
        self.bad(check, self.path, "x;\n" * 501, line=500)
        self.bad(check, "tests/a.py", "x\n" * 501, line=500)
        self.good(check, self.path, "x;\n" * 500)
        self.good(check, "LICENSE", "x\n" * 501)

    def test_machine_paths(self):
        check = ban_rules.check_machine_paths
        for folder in ("work", "root", "home"):
            self.bad(check, "README.md", f"see /{folder}/main")
            self.bad(check, "a.sh", f'cd "/{folder}/x"')
        self.good(check, "README.md", "see ./work/main, https://example.com/root/x and /homes/x")


if __name__ == "__main__":
    unittest.main()
