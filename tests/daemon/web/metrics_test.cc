#include "daemon/web/metrics.h"

#include <gmock/gmock.h>

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;

TEST(RenderMetrics, SpeaksPrometheusText) {
  MetricValues values;
  values.version = "1.2";
  values.counts.devices = 3;
  values.counts.jobs_running = 1;
  values.http_requests = {{200, 5}, {404, 2}};
  values.enrollments_refused = 4;
  values.blobs_missing = 6;
  const std::string page = RenderMetrics(values);
  EXPECT_THAT(page, HasSubstr("# TYPE quantfleet_devices gauge\nquantfleet_devices 3\n"));
  EXPECT_THAT(page, HasSubstr("quantfleet_build_info{version=\"1.2\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("quantfleet_blobs_damaged_total{kind=\"missing\"} 6\n"));
  EXPECT_THAT(page, HasSubstr("quantfleet_jobs{state=\"running\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("# TYPE quantfleet_http_requests_total counter\n"));
  EXPECT_THAT(page, HasSubstr("quantfleet_http_requests_total{code=\"404\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("quantfleet_enrollments_total{result=\"refused\"} 4\n"));
  EXPECT_THAT(page, HasSubstr("quantfleet_enrolments_total{result=\"refused\"} 4\n"));
}

}  // namespace
}  // namespace quantfleet::daemon
