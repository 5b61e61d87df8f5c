#include "dataplane/observe/metric_family.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "prometheus/metric_type.h"

namespace portico::observe {
namespace {

prometheus::MetricFamily Family(std::string_view name, std::string_view help,
                                prometheus::MetricType type) {
  prometheus::MetricFamily family;
  family.name = std::string(name);
  family.help = std::string(help);
  family.type = type;
  return family;
}

}  // namespace

prometheus::MetricFamily CounterFamily(std::string_view name, std::string_view help) {
  return Family(name, help, prometheus::MetricType::Counter);
}

prometheus::MetricFamily GaugeFamily(std::string_view name, std::string_view help) {
  return Family(name, help, prometheus::MetricType::Gauge);
}

prometheus::MetricFamily HistogramFamily(std::string_view name, std::string_view help) {
  return Family(name, help, prometheus::MetricType::Histogram);
}

void AddCounter(prometheus::MetricFamily& family, MetricLabels labels, double value) {
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  metric.label = std::move(labels);
  metric.counter.value = value;
}

void AddGauge(prometheus::MetricFamily& family, MetricLabels labels, double value) {
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  metric.label = std::move(labels);
  metric.gauge.value = value;
}

void HistogramSum::Add(const LatencyHistogram& histogram) {
  for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += histogram.bucket(i);
  sum_nanos += histogram.sum_nanos();
}

bool HistogramSum::empty() const {
  return std::all_of(buckets.begin(), buckets.end(), [](uint64_t count) { return count == 0; });
}

void AddHistogram(prometheus::MetricFamily& family, MetricLabels labels, const HistogramSum& sum) {
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  metric.label = std::move(labels);
  metric.histogram.bucket.resize(sum.buckets.size());
  // The count is the sum of the buckets read, not a counter of its own: so "+Inf" and
  // the count always agree, even while the workers go on counting.
  uint64_t cumulative = 0;
  for (size_t i = 0; i < sum.buckets.size(); ++i) {
    cumulative += sum.buckets[i];
    metric.histogram.bucket[i].cumulative_count = cumulative;
    metric.histogram.bucket[i].upper_bound = i < kLatencyBounds.size()
                                                 ? static_cast<double>(kLatencyBounds[i]) / 1e9
                                                 : std::numeric_limits<double>::infinity();
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = static_cast<double>(sum.sum_nanos) / 1e9;
}

prometheus::MetricFamily OneCounter(std::string_view name, std::string_view help, double value) {
  prometheus::MetricFamily family = CounterFamily(name, help);
  AddCounter(family, {}, value);
  return family;
}

prometheus::MetricFamily OneGauge(std::string_view name, std::string_view help, double value) {
  prometheus::MetricFamily family = GaugeFamily(name, help);
  AddGauge(family, {}, value);
  return family;
}

}  // namespace portico::observe
