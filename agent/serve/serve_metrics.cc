#include "agent/serve/serve_metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace quantfleet::agent {
namespace {

using prometheus::MetricType;
using Labels = std::vector<prometheus::ClientMetric::Label>;

void Add(std::vector<prometheus::MetricFamily>& page, const char* name, const char* help,
         MetricType type, uint64_t value, Labels labels = {}) {
  if (page.empty() || page.back().name != name) page.push_back({name, help, type, {}});
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = static_cast<double>(value);
  metric.gauge.value = static_cast<double>(value);
  page.back().metric.push_back(std::move(metric));
}

}  // namespace

std::string RenderMetrics(const ServeCounts& counts) {
  std::vector<prometheus::MetricFamily> page;
  constexpr auto kGauge = MetricType::Gauge, kCounter = MetricType::Counter;
  Add(page, kMetricBuildInfo, "Always 1; the label is the version", kGauge, 1,
      {{"version", counts.version}});
  Add(page, kMetricModelsLoaded, "Models that are loaded", kGauge, counts.models);
  Add(page, kMetricConnections, "Open connections", kGauge, counts.connections);
  constexpr char kClosedHelp[] = "Connections closed because too many were open";
  Add(page, kMetricConnectionsClosed, kClosedHelp, kCounter, counts.evicted, {{"which", "idle"}});
  Add(page, kMetricConnectionsClosed, kClosedHelp, kCounter, counts.refused, {{"which", "new"}});
  for (const auto& [code, count] : counts.requests)
    Add(page, kMetricRequests, "Requests answered", kCounter, count,
        {{"code", std::to_string(code)}});
  Add(page, kMetricRunning, "Generations that share the engine", kGauge, counts.queue.running);
  Add(page, kMetricWaiting, "Generations that wait for a place", kGauge, counts.queue.waiting);
  Add(page, kMetricCancelled, "Generations whose client disconnected", kCounter, counts.cancelled);
  Add(page, kMetricPromptTokens, "Tokens of prompts that were answered", kCounter,
      counts.queue.prompt_tokens);
  Add(page, kMetricGeneratedTokens, "Tokens generated", kCounter, counts.queue.generated_tokens);
  return prometheus::TextSerializer().Serialize(page);
}

}  // namespace quantfleet::agent
