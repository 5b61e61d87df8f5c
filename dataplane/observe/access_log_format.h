// What a line of the access log looks like.
#ifndef DATAPLANE_OBSERVE_ACCESS_LOG_FORMAT_H_
#define DATAPLANE_OBSERVE_ACCESS_LOG_FORMAT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/observe/access_log.h"

namespace portico::observe {

// Appends `text` as a JSON string with its quotes (RFC 8259 section 7). Bytes that
// are no UTF-8 become U+FFFD, one for each.
void AppendJsonString(std::string_view text, std::string& out);

// Turns records into lines of JSON, docs/access-log.md. Remembers the second it
// last wrote, so it is for one thread.
class AccessLogFormatter {
 public:
  // Appends one object and a newline.
  void AppendLine(const AccessRecord& record, std::string& out);

 private:
  void AppendTime(base::UnixNanos time, std::string& out);

  int64_t second_ = -1;
  std::string second_text_;
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_ACCESS_LOG_FORMAT_H_
