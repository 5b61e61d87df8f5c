// Checks of one resource by itself, one file per theme. Each adds every violation it finds.
#ifndef API_VALIDATION_CHECKS_H_
#define API_VALIDATION_CHECKS_H_

#include "api/portico/v1/resource.pb.h"
#include "api/resource/resource.h"
#include "api/validation/report.h"

namespace portico::api {

// Name, labels, size, and then by kind.
void CheckResource(const ResourceKey& key, const StoredResource& stored, Report& report);

void CheckListener(const v1::Listener& listener, Report& report);
void CheckUpstream(const v1::Upstream& upstream, Report& report);
void CheckRoute(const v1::Route& route, Report& report);
void CheckRouteMatch(const v1::RouteMatch& match, Report& report);
void CheckAuthentication(const v1::Authentication& authentication, Report& report);
void CheckJwtProvider(const v1::JwtProvider& provider, Report& report);
void CheckConsumer(const v1::Consumer& consumer, Report& report);
void CheckPlan(const v1::Plan& plan, Report& report);
void CheckRateLimitPolicy(const v1::RateLimitPolicy& policy, Report& report);
void CheckHeaderTransform(const v1::HeaderTransform& transform, Report& report);
void CheckCertificate(const v1::Certificate& certificate, Report& report);
void CheckCaBundle(const v1::CaBundle& bundle, Report& report);
void CheckSessionTicketKeys(const v1::SessionTicketKeys& keys, Report& report);
void CheckListenerTls(const v1::ListenerTls& tls, Report& report);
void CheckUpstreamTls(const v1::Upstream& upstream, Report& report);
void CheckAccessLog(const v1::AccessLog& log, Report& report);

// An RE2 expression that compiles within the bounds: 1024 bytes, a program of 5000 instructions.
void CheckRegex(const std::string& field, const std::string& pattern, Report& report);

}  // namespace portico::api

#endif  // API_VALIDATION_CHECKS_H_
