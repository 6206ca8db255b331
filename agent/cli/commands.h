// The program's commands, one file each. A command adds itself to the program; when it was chosen
// it leaves what to do in `chosen`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "agent/cli/given.h"

namespace time_chaos::cli {

using Chosen = std::function<int()>;  // returns the exit code

// `given`: is filled in before the command is called.
void add_agent(CLI::App& program, Chosen& chosen, const Given& given);
void add_run(CLI::App& program, Chosen& chosen);
void add_set(CLI::App& program, Chosen& chosen);
void add_preview(CLI::App& program, Chosen& chosen);
void add_status(CLI::App& program, Chosen& chosen);
void add_recover(CLI::App& program, Chosen& chosen);
void add_doctor(CLI::App& program, Chosen& chosen);

// All of them.
void add_commands(CLI::App& program, Chosen& chosen, const Given& given);

// The whole program.
int run_program(int argc, char** argv);

}  // namespace time_chaos::cli
