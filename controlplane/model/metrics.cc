#include "controlplane/model/metrics.h"

namespace portico::control {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Histogram;

const Histogram::BucketBoundaries& PushBuckets() {
  static const Histogram::BucketBoundaries buckets = {
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
  return buckets;
}

const Histogram::BucketBoundaries& StoreBuckets() {
  static const Histogram::BucketBoundaries buckets = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                      0.05,   0.1,   0.25,   0.5,   1,    5};
  return buckets;
}

const char* NameOf(Metrics::ApplyResult result) {
  switch (result) {
    case Metrics::ApplyResult::kAccepted:
      return "accepted";
    case Metrics::ApplyResult::kUnchanged:
      return "unchanged";
    case Metrics::ApplyResult::kDryRun:
      return "dry_run";
    case Metrics::ApplyResult::kInvalid:
      return "invalid";
    case Metrics::ApplyResult::kConflict:
      return "conflict";
    case Metrics::ApplyResult::kError:
      return "error";
  }
  return "error";
}

prometheus::Counter& OneCounter(prometheus::Registry& registry, const char* name,
                                const char* help) {
  return BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()),
      applies_(BuildCounter()
                   .Name("portico_control_applies_total")
                   .Help("Apply and Rollback calls by how they ended.")
                   .Register(*registry_)),
      store_seconds_(BuildHistogram()
                         .Name("portico_control_store_seconds")
                         .Help("Time that operations of the store took.")
                         .Register(*registry_)),
      revision(BuildGauge()
                   .Name("portico_control_revision")
                   .Help("The current revision.")
                   .Register(*registry_)
                   .Add({})),
      resources(BuildGauge()
                    .Name("portico_control_resources")
                    .Help("Resources in the current revision.")
                    .Register(*registry_)
                    .Add({})),
      push_seconds(BuildHistogram()
                       .Name("portico_control_push_seconds")
                       .Help("Time from accepting a revision to a proxy having it applied.")
                       .Register(*registry_)
                       .Add({}, PushBuckets())),
      rejections(OneCounter(*registry_, "portico_control_rejections_total",
                            "Change sets that proxies refused.")),
      resyncs(OneCounter(*registry_, "portico_control_resyncs_total",
                         "Change sets that proxies could not assemble and asked for anew.")),
      pushes(
          OneCounter(*registry_, "portico_control_pushes_total", "Change sets sent to proxies.")),
      discovery_sent_bytes(OneCounter(*registry_, "portico_control_discovery_sent_bytes_total",
                                      "Bytes of messages sent to proxies.")),
      replaced_streams(OneCounter(*registry_, "portico_control_replaced_streams_total",
                                  "Discovery streams ended because the same node id came again.")),
      refused_streams(OneCounter(*registry_, "portico_control_refused_streams_total",
                                 "Discovery streams refused: too many, or a bad greeting.")) {
  for (const ApplyResult result :
       {ApplyResult::kAccepted, ApplyResult::kUnchanged, ApplyResult::kDryRun,
        ApplyResult::kInvalid, ApplyResult::kConflict, ApplyResult::kError}) {
    applies_.Add({{"result", NameOf(result)}});
  }
  for (const char* operation : {"load", "commit", "load_revision", "list_revisions"}) {
    StoreSeconds(operation);
  }
}

void Metrics::CountApply(ApplyResult result) {
  applies_.Add({{"result", NameOf(result)}}).Increment();
}

prometheus::Histogram& Metrics::StoreSeconds(const std::string& operation) {
  return store_seconds_.Add({{"operation", operation}}, StoreBuckets());
}

}  // namespace portico::control
