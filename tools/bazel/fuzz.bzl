"""Fuzz targets, each with a corpus that every test run replays.

    load("//tools/bazel:fuzz.bzl", "portico_fuzz_target")

    portico_fuzz_target(
        name = "h1_codec_fuzz",
        srcs = ["h1_codec_fuzz.cc"],  # defines LLVMFuzzerTestOneInput
        deps = ["//dataplane/http:h1_codec"],
    )

The corpus is what stands in corpus/h1_codec_fuzz/ beside the BUILD file. This makes two targets:

  * h1_codec_fuzz, a libFuzzer binary: `bazel build --config=fuzz //tests/fuzz:h1_codec_fuzz`;
  * h1_codec_fuzz_corpus_test, an ordinary test that feeds each file of the corpus to the same function.
"""

def portico_fuzz_target(name, srcs, deps = [], data = [], tags = [], corpus_tags = []):
    """A libFuzzer binary and a test that replays its corpus.

    Args:
      name: name of the binary, and of its folder under corpus/.
      srcs: C++ files; one of them defines LLVMFuzzerTestOneInput.
      deps: as for cc_binary.
      data: as for cc_binary.
      tags: more tags of the binary.
      corpus_tags: tags of the test.
    """
    native.cc_binary(
        name = name,
        testonly = True,
        srcs = srcs,
        data = data,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["fuzz", "manual"] + tags,
        deps = deps,
    )
    native.cc_test(
        name = name + "_corpus_test",
        size = "small",
        srcs = srcs + ["//tools/bazel:fuzz_corpus_test.cc"],
        args = [native.package_name() + "/corpus/" + name],
        data = data + native.glob(["corpus/" + name + "/**"]),
        tags = corpus_tags,
        deps = deps + ["//tools/bazel/system:gtest"],
    )
