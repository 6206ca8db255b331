// The program's commands, one file each. A command adds itself to the program; when it was chosen
// it leaves what to do in `chosen`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace time_chaos::cli {

using Chosen = std::function<int()>;  // returns the exit code

void add_agent(CLI::App& program, Chosen& chosen);
void add_run(CLI::App& program, Chosen& chosen);
void add_set(CLI::App& program, Chosen& chosen);
void add_preview(CLI::App& program, Chosen& chosen);
void add_status(CLI::App& program, Chosen& chosen);
void add_recover(CLI::App& program, Chosen& chosen);
void add_doctor(CLI::App& program, Chosen& chosen);

// The whole program.
int run_program(int argc, char** argv);

}  // namespace time_chaos::cli
