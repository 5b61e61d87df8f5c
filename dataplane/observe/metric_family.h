// Short ways to write prometheus-cpp's metric families.
#ifndef DATAPLANE_OBSERVE_METRIC_FAMILY_H_
#define DATAPLANE_OBSERVE_METRIC_FAMILY_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/observe/histogram.h"
#include "prometheus/client_metric.h"
#include "prometheus/metric_family.h"

namespace portico::observe {

using MetricLabels = std::vector<prometheus::ClientMetric::Label>;

// An empty family. `help` is a sentence without a full stop.
prometheus::MetricFamily CounterFamily(std::string_view name, std::string_view help);
prometheus::MetricFamily GaugeFamily(std::string_view name, std::string_view help);
prometheus::MetricFamily HistogramFamily(std::string_view name, std::string_view help);

// Append one series.
void AddCounter(prometheus::MetricFamily& family, MetricLabels labels, double value);
void AddGauge(prometheus::MetricFamily& family, MetricLabels labels, double value);

// Several workers' histograms added up.
struct HistogramSum {
  std::array<uint64_t, LatencyHistogram::kBuckets> buckets{};
  uint64_t sum_nanos = 0;

  void Add(const LatencyHistogram& histogram);
  bool empty() const;
};
void AddHistogram(prometheus::MetricFamily& family, MetricLabels labels, const HistogramSum& sum);

// A family of one series without labels.
prometheus::MetricFamily OneCounter(std::string_view name, std::string_view help, double value);
prometheus::MetricFamily OneGauge(std::string_view name, std::string_view help, double value);

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_METRIC_FAMILY_H_
