"""Route tables of any size for each server, and requests that are drawn from them. No I/O.

Route i answers for /team-T/service-i/, T = i mod 97, so that many share a first segment. `version` is a number that stands
in route 0 of each table: changing it is the smallest real change of a configuration.
"""

import json

TEAMS = 97


def prefix(i):
    return f"/team-{i % TEAMS}/service-{i}"


def path(i):
    return prefix(i) + "/items/42"


def requests(indices, headers=()):
    """Lines for bench_load: request number n goes to the n-th route, with the headers[n mod their number]."""
    lines = []
    for n, i in enumerate(indices):
        fields = headers[n % len(headers)] if headers else []
        lines.append("\t".join([path(i), *fields]))
    return "\n".join(lines) + "\n"


def _timeout(i, version):
    return 30 + version if i == 0 else 15


def portico(count, version=0, policies=""):
    """Documents; `policies` is appended to each route's spec."""
    return "".join(
        f'---\nkind: Route\nname: route-{i}\nspec: {{match: {{path: {{prefix: "{prefix(i)}"}}}}, '
        f'timeout: {_timeout(i, version)}s, upstreams: [{{name: up}}]{policies}}}\n' for i in range(count))


def nginx(count, version=0):
    """Sorted as nginx sorts them: it does so by insertion, which takes minutes for 100,000 in any other order."""
    return "".join(
        f"        location {prefix(i)}/ {{ proxy_pass http://backend;"
        f"{f' proxy_read_timeout {_timeout(i, version)}s;' if i == 0 else ''} }}\n"
        for i in sorted(range(count), key=lambda i: (prefix(i) + "/").replace("/", "\0")))


def haproxy_map(count):
    """For map_beg: prefix to backend."""
    return "".join(f"{prefix(i)}/ out\n" for i in range(count))


def _envoy_route(i, version):
    return {"match": {"prefix": prefix(i) + "/"},
            "route": {"cluster": "up", "timeout": f"{_timeout(i, version)}s"}}


def _envoy_resource(version, virtual_host):
    return json.dumps({
        "version_info": str(version),
        "resources": [{
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": "routes",
            "virtual_hosts": [{"name": "all", "domains": ["*"], **virtual_host}],
        }],
    })


def envoy(count, version=0):
    """A file for the route discovery service: routes in a list, which is how most configurations have them."""
    return _envoy_resource(version, {"routes": [_envoy_route(i, version) for i in range(count)]})


def envoy_tree(count, version=0):
    """The same as a prefix tree of the generic matching API, whose cost does not grow with the number of routes."""
    actions = {
        prefix(i) + "/": {"action": {
            "name": f"route-{i}",
            "typed_config": {"@type": "type.googleapis.com/envoy.config.route.v3.Route", **_envoy_route(i, version)},
        }} for i in range(count)
    }
    return _envoy_resource(version, {"matcher": {"matcher_tree": {
        "input": {"name": "path", "typed_config": {
            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": ":path"}},
        "prefix_match_map": {"map": actions},
    }}})
