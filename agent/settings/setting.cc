#include "agent/settings/setting.h"

#include "agent/base/files.h"
#include "agent/settings/yaml.h"

namespace time_chaos::settings {
namespace {

constexpr size_t kMostBytes = size_t{1} << 20;

}  // namespace

Result<Settings> parse_settings(const std::string& text, const std::string& name) {
  TC_TRY(const YAML::Node root, parse_yaml(text, name));
  Settings list;
  if (root.IsNull()) return list;
  TC_CHECK(for_each_entry(
      root, name, "the file",
      [&](const std::string& key, const YAML::Node& at, const YAML::Node& value) -> Status {
        TC_TRY(auto values, scalars(value, name, key));
        if (!values.empty()) list.push_back({key, std::move(values), place_of(name, at.Mark())});
        return {};
      }));
  return list;
}

Result<std::string> read_settings_file(const std::string& path) {
  auto text = read_file(path, kMostBytes);
  if (text) return text;
  const Error error = text.error().with_kind(Exit::kUsage);
  return fail(error.remedy().empty() ? error.with_remedy("name a file that can be read") : error);
}

}  // namespace time_chaos::settings
