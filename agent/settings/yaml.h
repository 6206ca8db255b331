// YAML of others: bounded, its exceptions turned into our errors, and always with the line.
#pragma once

#include <yaml-cpp/yaml.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::settings {

// "clock.yaml line 3"
std::string place_of(const std::string& name, const YAML::Mark& mark);

// One document; an empty one is a null node. Lines are counted from `name`'s first.
Result<YAML::Node> parse_yaml(const std::string& text, const std::string& name);

// Calls `visit` for every entry of a map, and refuses what is no map, keys that are no scalars and
// keys that come twice. `what` is how errors call the map: "the file", "spec.selector".
using Visit = std::function<Status(const std::string& key, const YAML::Node& key_node,
                                   const YAML::Node& value)>;
Status for_each_entry(const YAML::Node& map, const std::string& name, const std::string& what,
                      const Visit& visit);

// One scalar or a list of scalars, as written. Null: none.
Result<std::vector<std::string>> scalars(const YAML::Node& node, const std::string& name,
                                         const std::string& what);

}  // namespace time_chaos::settings
