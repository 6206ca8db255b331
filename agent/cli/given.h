// What a command is given besides its command line: environment variables (TIME_CHAOS_OFFSET for
// --offset), a file (--config) and a manifest (--manifest). The command line wins over the
// environment, that over the file, that over the manifest; and the first of them that says what
// clocks are to show says all of it.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/cli/options.h"
#include "agent/settings/setting.h"

namespace time_chaos::cli {

using Arguments = std::vector<std::string>;

struct Given {
  Arguments line;                     // the command line, without the program's name
  std::optional<std::string> config;  // --config FILE
  std::string config_text;            // what that said
  Arguments rest;                     // what is given besides the line, but for clocks
  std::map<std::string, std::string>
      places;  // "--offset" -> "clock.yaml line 3", if not on the line
  // Of a manifest: which field of its selector needs an API server, and where it stands.
  std::string unresolved;
  std::string unresolved_place;

  // An error about an option that was not on the command line, with the place where it was.
  [[nodiscard]] Error placed(const Error& error) const;
};

// --config and --manifest, which complete() looks for.
void add_config(CLI::App& app);
void add_manifest(CLI::App& app);

// The command line, and what else is given as if it were on it. `program` has parsed `line`. Keys
// that no command of the program has are kUsage. `config_text`: what the file says, if that is
// known.
Result<Arguments> complete(const CLI::App& program, const Arguments& line, Given& given,
                           const std::optional<std::string>& config_text = std::nullopt);

// Settings as arguments of that command; kUsage for one that it does not have.
Result<Arguments> as_arguments(const CLI::App& command, const settings::Settings& list);

// With the first argument first. Throws what CLI11 throws.
void parse(CLI::App& program, const Arguments& arguments);

// How an error is to be said that the line or what else is given has: as far as can be told before
// it is understood, by its words and by the environment.
OutputOptions output_of(const Arguments& line);

// "TIME_CHAOS_ENGINE_VDSO" for "engine-vdso".
std::string variable_of(const std::string& option);

}  // namespace time_chaos::cli
