// --listen: the sockets on which an agent answers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/service.h"

namespace time_chaos::cli {

// Nothing where no address is given.
Result<std::unique_ptr<experiment::Service>> listen(const std::vector<std::string>& addresses);

}  // namespace time_chaos::cli
