# The payload's part in C, as assembly that hook_x86_64.S includes. The options are the payload's
# rules; none of the build's own (sanitizers, hardening) may be among them. Directives go: the code
# stands in the section in which it is included, which fills gaps with zeros instead of nops.
set(scheduled ${CMAKE_BINARY_DIR}/payload/scheduled_x86_64.s)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/payload)
add_custom_command(
  OUTPUT ${scheduled}
  COMMAND ${CMAKE_C_COMPILER} -S -O2 -std=c11 -g0 -masm=intel -Wall -Wextra -Werror -ffreestanding
          -mno-red-zone -mgeneral-regs-only -fno-omit-frame-pointer -fno-stack-protector
          -fcf-protection=none -fno-asynchronous-unwind-tables -fno-jump-tables -fno-pic
          -fno-tree-loop-distribute-patterns -I${CMAKE_SOURCE_DIR}/include
          ${CMAKE_SOURCE_DIR}/agent/payload/scheduled.c -o ${scheduled}.tmp
  COMMAND sed -E "/^[[:space:]]*\\.(text|section|ident|file|globl|type|size|p2align)/d"
          ${scheduled}.tmp > ${scheduled}
  DEPENDS ${CMAKE_SOURCE_DIR}/agent/payload/scheduled.c
          ${CMAKE_SOURCE_DIR}/include/time_chaos/abi/clock_map.h
          ${CMAKE_SOURCE_DIR}/include/time_chaos/abi/clock_page.h
  COMMENT "payload: schedules"
  VERBATIM)
set_source_files_properties(
  ${CMAKE_SOURCE_DIR}/agent/payload/hook_x86_64.S
  PROPERTIES OBJECT_DEPENDS ${scheduled} COMPILE_OPTIONS "-Wa,-I${CMAKE_BINARY_DIR}/payload")
