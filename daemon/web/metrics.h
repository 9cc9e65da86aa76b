// The page behind /metrics, in Prometheus' text format. Pure: numbers in, text out.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "daemon/store/counts.h"

namespace quantfleet::daemon {

struct MetricValues {
  std::string version;
  int64_t started_ms = 0;
  Counts counts;
  uint64_t check_ins = 0;
  uint64_t enrollments = 0, enrollments_held = 0, enrollments_refused = 0, renewals = 0,
           renewals_refused = 0;
  std::map<int, uint64_t> http_requests;  // by status code
  uint64_t http_connections = 0, http_connections_refused = 0;
  uint64_t grpc_connections = 0, grpc_strangers = 0, grpc_connections_refused = 0,
           grpc_strangers_cut = 0;
  uint64_t blob_bytes = 0;
  uint64_t blobs_checked = 0, blobs_damaged = 0, blobs_missing = 0;
  int64_t scrub_finished_ms = 0;  // 0: none has
};

std::string RenderMetrics(const MetricValues& values);

}  // namespace quantfleet::daemon
