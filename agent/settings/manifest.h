// Chaos Mesh's TimeChaos (chaos-mesh.org/v1alpha1), as options of ours.
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/settings/setting.h"

namespace time_chaos::settings {

struct Manifest {
  // offset, clocks, container, duration, mode, value, experiment; and pod where the selector names
  // them.
  Settings settings;
  // Where the selector asks for what only an API server knows ("spec.selector.labelSelectors");
  // empty: it names the pods. The pods have to be given then.
  std::string unresolved;
  std::string unresolved_place;
};

// Unknown fields, wrong ones and those that cannot be done are kUsage, with their line.
Result<Manifest> parse_manifest(const std::string& text, const std::string& name);

}  // namespace time_chaos::settings
