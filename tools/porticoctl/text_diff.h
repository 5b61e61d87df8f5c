// Differences of two texts, line by line.
#ifndef TOOLS_PORTICOCTL_TEXT_DIFF_H_
#define TOOLS_PORTICOCTL_TEXT_DIFF_H_

#include <string>

namespace portico::ctl {

// Lines of `after` with "+ ", of `before` with "- ", common ones with "  ": three
// of these around each change, "  ..." where more are left out. Empty when the
// texts are equal. Very large differences are shown as one removed and one added
// block.
std::string LineDiff(const std::string& before, const std::string& after);

}  // namespace portico::ctl

#endif  // TOOLS_PORTICOCTL_TEXT_DIFF_H_
