#include "agent/cli/given.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "agent/cli/clock_options.h"
#include "agent/settings/manifest.h"

namespace time_chaos::cli {
namespace {

using settings::Setting;
using settings::Settings;

// Not to be set by what they lead to, and not by an environment.
bool is_own(const std::string& name) {
  return name == "help" || name == "version" || name == "config" || name == "manifest";
}

// What clocks show is said as a whole, in one place: an --offset of the environment means nothing
// beside a --rate of the command line.
bool is_shape(const std::vector<std::string>& names) {
  static constexpr const char* kShapes[] = {"offset",   "at",    "bump",   "freeze",
                                            "rate",     "drift", "strobe", "leap-second",
                                            "schedule", "jitter"};
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return std::find(std::begin(kShapes), std::end(kShapes), name) != std::end(kShapes);
  });
}

const CLI::Option* find(const CLI::App& command, const std::string& name) {
  for (const CLI::Option* option : command.get_options()) {
    const auto& names = option->get_lnames();
    if (std::find(names.begin(), names.end(), name) != names.end()) return option;
  }
  return nullptr;
}

bool has(const CLI::Option& option, const std::string& name) {
  const auto& names = option.get_lnames();
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::optional<bool> truth(std::string word) {
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (word == "true" || word == "1" || word == "yes" || word == "on") return true;
  if (word == "false" || word == "0" || word == "no" || word == "off") return false;
  return std::nullopt;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    if (comma > at) parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

// A flag that is switched off is not given, unless it has an opposite.
Status add_flag(const CLI::Option& option, const Setting& setting, Arguments& into) {
  const auto yes = setting.values.size() == 1 ? truth(setting.values.front()) : std::nullopt;
  if (!yes) {
    return fail(Exit::kUsage,
                fmt::format("{}: {} is neither true nor false", setting.place, setting.key),
                fmt::format("write {}: true", setting.key));
  }
  if (*yes) {
    into.push_back("--" + setting.key);
    return {};
  }
  const std::string opposite =
      setting.key.starts_with("no-") ? setting.key.substr(3) : "no-" + setting.key;
  if (has(option, opposite)) into.push_back("--" + opposite);
  return {};
}

Status add(const CLI::Option& option, const Setting& setting, Arguments& into) {
  if (option.get_items_expected_max() == 0) return add_flag(option, setting, into);
  const bool repeatable = option.get_items_expected_max() > 1;
  if (!repeatable && setting.values.size() > 1) {
    return fail(Exit::kUsage, fmt::format("{}: {} is a list", setting.place, setting.key),
                "give one value");
  }
  for (const std::string& value : setting.values) {
    if (!repeatable) {
      into.push_back(fmt::format("--{}={}", setting.key, value));
      continue;
    }
    for (const std::string& part : split(value)) {
      into.push_back(fmt::format("--{}={}", setting.key, part));
    }
  }
  return {};
}

// A key of the file must be an option of some command, so that a slip is not passed over in
// silence.
Status check_known(const CLI::App& program, const Settings& list) {
  const auto commands = program.get_subcommands([](const CLI::App*) { return true; });
  for (const Setting& setting : list) {
    const bool known = !is_own(setting.key) &&
                       std::any_of(commands.begin(), commands.end(), [&](const CLI::App* c) {
                         return find(*c, setting.key) != nullptr;
                       });
    if (known) continue;
    return fail(Exit::kUsage, fmt::format("{}: unknown option {}", setting.place, setting.key),
                "write options without their dashes; see time-chaos agent --help");
  }
  return {};
}

std::optional<std::string> value_of(const CLI::App& command, const std::string& name) {
  const CLI::Option* option = find(command, name);
  if (option == nullptr) return std::nullopt;
  if (option->count() > 0) return option->as<std::string>();
  const char* variable = std::getenv(variable_of(name).c_str());
  if (variable == nullptr || *variable == '\0') return std::nullopt;
  return variable;
}

Result<Settings> read_config(const CLI::App& program, const std::string& path,
                             const std::string& text) {
  TC_TRY(auto list, settings::parse_settings(text, path));
  TC_CHECK(check_known(program, list));
  return list;
}

Settings environment(const CLI::App& command) {
  Settings list;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const std::string variable = variable_of(name);
      const char* value = std::getenv(variable.c_str());
      if (!is_own(name) && value != nullptr && *value != '\0') {
        list.push_back({name, {value}, variable});
      }
    }
  }
  return list;
}

// From the first source to the last, as options of the command.
Result<Arguments> merged(const CLI::App& command, const std::vector<Settings>& sources,
                         Given& given) {
  CLI::App clocks;
  ClockOptions unused;
  add_clocks(clocks, unused);
  Arguments more;
  std::vector<const CLI::Option*> taken;
  bool shaped = false;
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0) continue;
    taken.push_back(option);
    shaped = shaped || is_shape(option->get_lnames());
  }
  for (const Settings& source : sources) {
    bool shapes = false;
    for (const Setting& setting : source) {
      const CLI::Option* option = find(command, setting.key);
      if (option == nullptr) continue;  // another command's
      if (std::find(taken.begin(), taken.end(), option) != taken.end()) continue;
      if (shaped && is_shape({setting.key})) continue;
      shapes = shapes || is_shape({setting.key});
      taken.push_back(option);
      const size_t before = more.size();
      TC_CHECK(add(*option, setting, more));
      if (find(clocks, setting.key) == nullptr) {
        given.rest.insert(given.rest.end(), more.begin() + static_cast<ptrdiff_t>(before),
                          more.end());
      }
      given.places["--" + setting.key] = setting.place;
    }
    shaped = shaped || shapes;
  }
  return more;
}

}  // namespace

std::string variable_of(const std::string& option) {
  std::string name = "TIME_CHAOS_" + option;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return name;
}

OutputOptions output_of(const Arguments& line) {
  const auto end = std::find(line.begin(), line.end(), "--");  // then it is a command's
  const auto asked = [&](const std::string& name) {
    if (std::find(line.begin(), end, "--" + name) != end) return true;
    const char* variable = std::getenv(variable_of(name).c_str());
    return variable != nullptr && truth(variable).value_or(false);
  };
  OutputOptions output;
  output.log = asked("log-json");
  output.json = output.log || asked("json");
  return output;
}

Result<Arguments> as_arguments(const CLI::App& command, const Settings& list) {
  Arguments arguments;
  for (const Setting& setting : list) {
    const CLI::Option* option = is_own(setting.key) ? nullptr : find(command, setting.key);
    if (option == nullptr) {
      return fail(Exit::kUsage, fmt::format("{}: unknown option {}", setting.place, setting.key),
                  "only what says what clocks show can be set");
    }
    TC_CHECK(add(*option, setting, arguments));
  }
  return arguments;
}

void parse(CLI::App& program, const Arguments& arguments) {
  program.parse(Arguments(arguments.rbegin(), arguments.rend()));  // as CLI11 takes them
}

Error Given::placed(const Error& error) const {
  if (error.kind() != Exit::kUsage) return error;
  for (const auto& [option, place] : places) {
    const size_t at = error.message().find(option);
    if (at == std::string::npos) continue;
    const size_t end = at + option.size();
    if (end < error.message().size() && error.message()[end] == '-') continue;
    return error.because_of(place);
  }
  return error;
}

void add_config(CLI::App& app) {
  app.add_option("--config",
                 "Options as lines of key: value (YAML or JSON); those of the command line and of "
                 "TIME_CHAOS_... variables win")
      ->type_name("FILE");
}

void add_manifest(CLI::App& app) {
  app.add_option("--manifest", "A TimeChaos of Chaos Mesh (chaos-mesh.org/v1alpha1)")
      ->type_name("FILE");
}

Result<Arguments> complete(const CLI::App& program, const Arguments& line, Given& given,
                           const std::optional<std::string>& config_text) {
  const auto chosen = program.get_subcommands();
  if (chosen.empty() || line.empty()) return line;
  const CLI::App& command = *chosen.front();
  given.line = line;
  given.config = value_of(command, "config");
  std::vector<Settings> sources{environment(command)};
  if (given.config) {
    if (config_text) {
      given.config_text = *config_text;
    } else {
      TC_TRY(given.config_text, settings::read_settings_file(*given.config));
    }
    TC_TRY(auto list, read_config(program, *given.config, given.config_text));
    sources.push_back(std::move(list));
  }
  if (const auto path = value_of(command, "manifest")) {
    TC_TRY(const std::string text, settings::read_settings_file(*path));
    TC_TRY(auto manifest, settings::parse_manifest(text, *path));
    sources.push_back(std::move(manifest.settings));
    given.unresolved = manifest.unresolved;
    given.unresolved_place = manifest.unresolved_place;
  }
  TC_TRY(const Arguments more, merged(command, sources, given));
  Arguments whole{line.front()};
  whole.insert(whole.end(), more.begin(), more.end());
  whole.insert(whole.end(), line.begin() + 1, line.end());
  return whole;
}

}  // namespace time_chaos::cli
