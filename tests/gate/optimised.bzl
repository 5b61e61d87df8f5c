"""A binary that is compiled as --config=opt does, whatever the configuration of the build.

    load("//tests/gate:optimised.bzl", "optimised_binary")

    optimised_binary(
        name = "replay",
        binary = ":replay_program",
    )
"""

# What .bazelrc says for --config=opt, in its order: a build with that configuration then shares
# everything that it compiles with this one.
_COPTS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fno-omit-frame-pointer",
    "-O1",
    "-g1",
    "-foptimize-sibling-calls",
    "-O2",
    "-march=x86-64",
]

def _optimise_impl(_settings, _attr):
    return {
        "//command_line_option:compilation_mode": "opt",
        "//command_line_option:copt": _COPTS,
        "//command_line_option:platform_suffix": "-opt",
    }

_optimise = transition(
    implementation = _optimise_impl,
    inputs = [],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:copt",
        "//command_line_option:platform_suffix",
    ],
)

def _optimised_binary_impl(ctx):
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(
        output = executable,
        target_file = ctx.attr.binary[0][DefaultInfo].files_to_run.executable,
        is_executable = True,
    )
    return [DefaultInfo(executable = executable)]

optimised_binary = rule(
    implementation = _optimised_binary_impl,
    attrs = {
        "binary": attr.label(
            doc = "The program; it needs no files at run time.",
            cfg = _optimise,
            mandatory = True,
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)
