// The endpoint's page behind /metrics, in Prometheus' text format. Pure: numbers in, text out.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "agent/serve/generation_queue.h"

namespace quantfleet::agent {

inline constexpr char kMetricBuildInfo[] = "quantfleet_agent_build_info";
inline constexpr char kMetricModelsLoaded[] = "quantfleet_agent_models_loaded";
inline constexpr char kMetricConnections[] = "quantfleet_agent_connections";
inline constexpr char kMetricConnectionsClosed[] = "quantfleet_agent_connections_closed_total";
inline constexpr char kMetricRequests[] = "quantfleet_agent_requests_total";
inline constexpr char kMetricRunning[] = "quantfleet_agent_generations_running";
inline constexpr char kMetricWaiting[] = "quantfleet_agent_generations_waiting";
inline constexpr char kMetricCancelled[] = "quantfleet_agent_generations_cancelled_total";
inline constexpr char kMetricPromptTokens[] = "quantfleet_agent_prompt_tokens_total";
inline constexpr char kMetricGeneratedTokens[] = "quantfleet_agent_generated_tokens_total";

struct ServeCounts {
  std::string version;  // of the program
  size_t models = 0, connections = 0;
  uint64_t evicted = 0, refused = 0;  // connections, because too many were open
  uint64_t cancelled = 0;             // generations whose client left
  std::map<int, uint64_t> requests;   // answered, by HTTP status
  GenerationQueue::Counts queue;
};

std::string RenderMetrics(const ServeCounts& counts);

}  // namespace quantfleet::agent
