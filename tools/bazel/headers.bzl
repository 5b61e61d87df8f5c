"""Compiles every header alone: `bazel build --config=headers //...`.

A header that needs its includer to include something first fails here. Each header is a file of
its own in the cache, so a change costs only what depends on it.
"""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "CPP_COMPILE_ACTION_NAME")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

_RULES = ["cc_library", "cc_binary", "cc_test"]

def _own_headers(target, rule):
    if rule.kind not in _RULES or target.label.workspace_name:
        return []
    files = getattr(rule.files, "hdrs", []) + getattr(rule.files, "srcs", [])
    return [file for file in files if file.is_source and file.extension == "h"]

def _self_contained_headers_impl(target, ctx):
    headers = _own_headers(target, ctx.rule)
    if not headers or CcInfo not in target:
        return []
    context = target[CcInfo].compilation_context
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts,
        include_directories = context.includes,
        quote_include_directories = context.quote_includes,
        system_include_directories = context.system_includes,
        preprocessor_defines = depset(transitive = [context.defines, context.local_defines]),
    )
    options = cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = CPP_COMPILE_ACTION_NAME,
        variables = variables,
    )
    compiler = cc_common.get_tool_for_action(
        feature_configuration = features,
        action_name = CPP_COMPILE_ACTION_NAME,
    )

    results = []
    for header in headers:
        stem = "%s.self_contained/%s" % (target.label.name, header.basename)
        source = ctx.actions.declare_file(stem + ".cc")
        result = ctx.actions.declare_file(stem + ".ok")

        # Twice, so that a missing include guard is an error, too.
        ctx.actions.write(source, "#include \"{0}\"\n#include \"{0}\"\n".format(header.short_path))
        ctx.actions.run_shell(
            command = "\"$@\" && touch %s" % result.path,
            arguments = [compiler] + options + ["-fsyntax-only", "-O0", "-x", "c++", source.path],
            inputs = depset([source, header], transitive = [context.headers, toolchain.all_files]),
            outputs = [result],
            mnemonic = "SelfContainedHeader",
            progress_message = "Compiling %s alone" % header.short_path,
        )
        results.append(result)
    return [OutputGroupInfo(self_contained_headers = depset(results))]

self_contained_headers = aspect(
    implementation = _self_contained_headers_impl,
    attrs = {
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    incompatible_use_toolchain_transition = True,
)
