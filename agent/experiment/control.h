// What may be asked of a running experiment from outside its loop: by a file of options that has
// changed, by a client of the agent's sockets.
#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/clock_spec.h"
#include "agent/experiment/change.h"
#include "agent/experiment/telemetry.h"

namespace time_chaos::experiment {

class Control {
 public:
  Control() = default;
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  Control(Control&&) = delete;
  Control& operator=(Control&&) = delete;
  virtual ~Control() = default;

  struct Outcome {
    std::vector<Changed> changed;
    std::vector<Error> failed;
  };
  // All targets, and those that come later. The experiment's Events hear of it as well.
  virtual Outcome set(clock::ClockSpec spec) = 0;
  // What is shifted and by how much, as it is now.
  virtual Telemetry telemetry() = 0;
  // Recovers all targets, and ends the experiment, when the loop is next there.
  virtual void end() = 0;
  // One line for whoever watches the agent.
  virtual void complain(const Error& error) = 0;
};

// Who asks. It lives as long as the experiment.
class Asker {
 public:
  Asker() = default;
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;
  Asker(Asker&&) = delete;
  Asker& operator=(Asker&&) = delete;
  virtual ~Asker() = default;

  // Readable when there is something to attend to; it must not be readable for nothing.
  [[nodiscard]] virtual int fd() const = 0;
  // Does not block.
  virtual void attend(Control& control) = 0;
};

}  // namespace time_chaos::experiment
