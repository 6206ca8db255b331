#include "agent/settings/yaml.h"

#include <fmt/format.h>

#include <set>

namespace time_chaos::settings {
namespace {

constexpr size_t kMostBytes = size_t{1} << 20;

std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

}  // namespace

std::string place_of(const std::string& name, const YAML::Mark& mark) {
  return mark.is_null() ? name : fmt::format("{} line {}", name, mark.line + 1);
}

Result<YAML::Node> parse_yaml(const std::string& text, const std::string& name) {
  if (text.size() > kMostBytes) {
    return fail(Exit::kUsage, name + " is larger than 1 MiB", "it should be some lines");
  }
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      return fail(Exit::kUsage, name + " has several documents", "keep one of them, without ---");
    }
    return documents.empty() ? YAML::Node() : documents.front();
  } catch (const YAML::Exception& error) {
    return fail(Exit::kUsage,
                fmt::format("{}: {}", place_of(name, error.mark), one_line(error.msg)),
                "write it as YAML or JSON");
  }
}

Status for_each_entry(const YAML::Node& map, const std::string& name, const std::string& what,
                      const Visit& visit) {
  if (!map.IsMap()) {
    return fail(Exit::kUsage, fmt::format("{}: {} is not a map", place_of(name, map.Mark()), what),
                "write it as key: value");
  }
  std::set<std::string> seen;
  for (const auto& entry : map) {
    const std::string place = place_of(name, entry.first.Mark());
    if (!entry.first.IsScalar()) {
      return fail(Exit::kUsage, fmt::format("{}: a key of {} is no word", place, what),
                  "write it as key: value");
    }
    const std::string key = one_line(entry.first.Scalar());
    if (!seen.insert(key).second) {
      return fail(Exit::kUsage, fmt::format("{}: {} is there twice", place, key),
                  "leave out one of them");
    }
    TC_CHECK(visit(key, entry.first, entry.second));
  }
  return {};
}

Result<std::vector<std::string>> scalars(const YAML::Node& node, const std::string& name,
                                         const std::string& what) {
  const auto refuse = [&](const YAML::Node& at) {
    return fail(Exit::kUsage,
                fmt::format("{}: {} is neither a value nor a list of values",
                            place_of(name, at.Mark()), what),
                fmt::format("write {0}: VALUE, or {0}: [VALUE, VALUE]", what));
  };
  std::vector<std::string> values;
  if (node.IsNull()) return values;
  if (node.IsScalar()) return std::vector<std::string>{node.Scalar()};
  if (!node.IsSequence()) return refuse(node);
  for (const YAML::Node& item : node) {
    if (!item.IsScalar()) return refuse(item);
    values.push_back(item.Scalar());
  }
  return values;
}

}  // namespace time_chaos::settings
