// The file of --config while the agent runs: when it changes, the clocks change, as by `set`.
#pragma once

#include <memory>

#include "agent/cli/clock_options.h"
#include "agent/cli/given.h"
#include "agent/experiment/control.h"
#include "agent/settings/watched_file.h"

namespace time_chaos::cli {

class ConfigWatch : public experiment::Asker {
 public:
  // `clocks`: what is in force, by the file and all else that was given.
  static Result<std::unique_ptr<ConfigWatch>> open(const Given& given, const ClockOptions& clocks);

  [[nodiscard]] int fd() const override { return file_.fd(); }
  // An error in the file is one line, and the experiment stays as it is.
  void attend(experiment::Control& control) override;

 private:
  ConfigWatch(settings::WatchedFile file, const Given& given, const ClockOptions& clocks)
      : file_(std::move(file)), given_(given), clocks_(clocks), rest_(given.rest) {}
  Result<ClockOptions> read_again(experiment::Control& control);

  settings::WatchedFile file_;
  const Given& given_;
  ClockOptions clocks_;
  Arguments rest_;  // what else is given than clocks
};

}  // namespace time_chaos::cli
