#include "daemon/web/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include "daemon/web/metric_names.h"

namespace quantfleet::daemon {
namespace {

using prometheus::MetricType;

class Page {
 public:
  void Add(const char* name, const char* help, MetricType type, double value,
           std::vector<prometheus::ClientMetric::Label> labels = {}) {
    if (families_.empty() || families_.back().name != name)
      families_.push_back({name, help, type, {}});
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    metric.counter.value = value;
    metric.gauge.value = value;
    families_.back().metric.push_back(std::move(metric));
  }
  void Gauge(const char* name, const char* help, uint64_t value,
             std::vector<prometheus::ClientMetric::Label> labels = {}) {
    Add(name, help, MetricType::Gauge, static_cast<double>(value), std::move(labels));
  }
  void Counter(const char* name, const char* help, uint64_t value,
               std::vector<prometheus::ClientMetric::Label> labels = {}) {
    Add(name, help, MetricType::Counter, static_cast<double>(value), std::move(labels));
  }
  std::string Text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace

std::string RenderMetrics(const MetricValues& v) {
  Page page;
  page.Gauge(kMetricBuildInfo, "Always 1; the label is the version", 1, {{"version", v.version}});
  page.Add(kMetricStartTime, "When the daemon started, Unix seconds", MetricType::Gauge,
           static_cast<double>(v.started_ms) / 1000);
  page.Gauge(kMetricModels, "Models registered", v.counts.models);
  page.Gauge(kMetricArtifacts, "Artifacts sealed", v.counts.artifacts);
  page.Gauge(kMetricArtifactsDamaged, "Artifacts that no device can download whole",
             v.counts.artifacts_damaged);
  page.Counter(kMetricBlobsChecked, "Blobs read and compared with their digests", v.blobs_checked);
  page.Counter(kMetricBlobsDamaged, "Blobs that were not as they should be", v.blobs_damaged,
               {{"kind", "damaged"}});
  page.Counter(kMetricBlobsDamaged, "Blobs that were not as they should be", v.blobs_missing,
               {{"kind", "missing"}});
  page.Add(kMetricScrubFinished, "When the last scrub finished, Unix seconds; 0: none has",
           MetricType::Gauge, static_cast<double>(v.scrub_finished_ms) / 1000);
  page.Gauge(kMetricStoredBytes,
             "Bytes of all artifacts as stored; a shared chunk counts for each of them",
             v.counts.stored_bytes);
  page.Gauge(kMetricDevices, "Devices enrolled", v.counts.devices);
  page.Gauge(kMetricDevicesSeen, "Devices heard from within three check-in intervals",
             v.counts.devices_seen);
  page.Gauge(kMetricDevicesPending, "Devices that wait for an operator", v.counts.devices_pending);
  page.Gauge(kMetricJobs, "Unfinished jobs", v.counts.jobs_queued, {{"state", "queued"}});
  page.Gauge(kMetricJobs, "Unfinished jobs", v.counts.jobs_running, {{"state", "running"}});
  page.Gauge(kMetricRolloutsRunning, "Rollouts that have not ended", v.counts.rollouts_running);
  page.Counter(kMetricCheckIns, "Check-ins of devices", v.check_ins);
  for (const char* name : {kMetricEnrollments, kMetricEnrolments}) {
    page.Counter(name, "Enrollments", v.enrollments, {{"result", "ok"}});
    page.Counter(name, "Enrollments", v.enrollments_held, {{"result", "held"}});
    page.Counter(name, "Enrollments", v.enrollments_refused, {{"result", "refused"}});
  }
  page.Counter(kMetricRenewals, "Renewals of devices' certificates", v.renewals,
               {{"result", "ok"}});
  page.Counter(kMetricRenewals, "Renewals of devices' certificates", v.renewals_refused,
               {{"result", "refused"}});
  for (const auto& [code, count] : v.http_requests)
    page.Counter(kMetricHttpRequests, "HTTPS requests answered", count,
                 {{"code", std::to_string(code)}});
  page.Gauge(kMetricHttpConnections, "Open HTTPS connections", v.http_connections);
  page.Counter(kMetricHttpRefused, "HTTPS connections refused because too many were open",
               v.http_connections_refused);
  page.Gauge(kMetricGrpcConnections, "Open gRPC connections", v.grpc_connections);
  page.Gauge(kMetricGrpcStrangers, "Those of them whose client has not shown a certificate",
             v.grpc_strangers);
  page.Counter(kMetricGrpcRefused, "gRPC connections refused because too many were open",
               v.grpc_connections_refused);
  page.Counter(kMetricGrpcCut,
               "gRPC connections without a certificate that were cut: they took too much or too "
               "long, or others needed the room",
               v.grpc_strangers_cut);
  page.Counter(kMetricBlobBytes, "Bytes of blobs sent", v.blob_bytes);
  return page.Text();
}

}  // namespace quantfleet::daemon
